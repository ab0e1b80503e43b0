#include "core/sha256.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>

#include "core/error.h"

namespace lpsmd {

namespace {

// No library that an installation has anyway offers a hash to C++ (torch and LAMMPS have none), hence this one.

constexpr std::size_t kBlock = 64;

// clang-format off
constexpr std::array<std::uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
// clang-format on

class Sha256 {
 public:
  /// The message so far, and `block` after it.
  void add(std::span<const unsigned char, kBlock> block)
  {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t t = 0; t < 16; ++t)
      for (std::size_t k = 0; k < 4; ++k) w[t] = w[t] << 8 | block[4 * t + k];
    for (std::size_t t = 16; t < 64; ++t) {
      const std::uint32_t a = w[t - 15], b = w[t - 2];
      w[t] = w[t - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[t - 7] +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
    }
    auto s = state_;
    for (std::size_t t = 0; t < 64; ++t) {
      const std::uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
      const std::uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
      const std::uint32_t first =
          s[7] + (std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25)) + choice + kRound[t] + w[t];
      const std::uint32_t second = (std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22)) + majority;
      s = {first + second, s[0], s[1], s[2], s[3] + first, s[4], s[5], s[6]};
    }
    for (std::size_t k = 0; k < 8; ++k) state_[k] += s[k];
  }

  /// The last, incomplete block, padded with the length of the whole message.
  void finish(std::span<const unsigned char> rest, std::uint64_t length)
  {
    std::array<unsigned char, 2 * kBlock> padded{};
    std::copy(rest.begin(), rest.end(), padded.begin());
    padded[rest.size()] = 0x80;
    const std::size_t end = rest.size() + 9 <= kBlock ? kBlock : 2 * kBlock;
    for (std::size_t k = 0; k < 8; ++k) padded[end - 1 - k] = static_cast<unsigned char>(8 * length >> 8 * k);
    for (std::size_t start = 0; start < end; start += kBlock)
      add(std::span<const unsigned char, kBlock>(padded.data() + start, kBlock));
  }

  std::string hexadecimal() const
  {
    std::string text;
    for (const std::uint32_t word : state_)
      for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
    return text;
  }

 private:
  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
};

}  // namespace

std::string sha256_of_file(const std::string &path)
{
  std::ifstream file(path, std::ios::binary);
  Sha256 hash;
  std::uint64_t length = 0;
  std::array<unsigned char, kBlock> block{};
  while (file) {
    file.read(reinterpret_cast<char *>(block.data()), kBlock);
    const auto count = static_cast<std::size_t>(file.gcount());
    length += count;
    if (count == kBlock) {
      hash.add(block);
      continue;
    }
    if (!file.eof()) break;
    hash.finish({block.data(), count}, length);
    return hash.hexadecimal();
  }
  throw Error("file " + path + " cannot be read: check that it exists and may be read");
}

}  // namespace lpsmd
