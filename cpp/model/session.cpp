#include "model/session.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <new>
#include <utility>

#include "core/edge_forces.h"
#include "core/error.h"

namespace lpsmd {

namespace {

constexpr auto kPassportFile = "lpsmd.json";

// The first calls of a TorchScript program profile and specialise it: they cost up to a second each and
// belong to the load, not to the first time steps.
constexpr int kWarmUpCalls = 3;

/// Twin of SELF_TEST_TOLERANCES in python/lpsmd/models/contract.py.
struct Tolerance {
  double force_eV_per_A;
  double energy_eV_per_atom;
};

Tolerance tolerance_of(const std::string &dtype)
{
  if (dtype == "float64") return {1e-7, 1e-8};
  return {5e-4, 1e-4};
}

torch::Device choose_device(const DeviceChoice &choice)
{
  const int gpus = ModelSession::gpu_count();
  if (choice.request == "cpu" || (choice.request == "auto" && gpus == 0)) return torch::kCPU;
  if (gpus == 0)
    throw Error(std::string("device cuda was asked for, but this torch (") + TORCH_VERSION +
                ") sees no CUDA device: use 'device cpu', or install a CUDA build of torch and check nvidia-smi");
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(choice.local_rank % gpus)};
}

/// CPU arrays are viewed, not copied, where the program runs on the CPU.
template <typename T>
torch::Tensor tensor_view(std::span<const T> values, torch::ScalarType type, const torch::Device &device)
{
  auto view = torch::from_blob(const_cast<T *>(values.data()), {static_cast<std::int64_t>(values.size())}, type);
  return view.to(device);
}

std::span<const double> span_of(const torch::Tensor &tensor)
{
  return {tensor.const_data_ptr<double>(), static_cast<std::size_t>(tensor.numel())};
}

/// The headers this was compiled with and the library that was loaded must be of one torch.
void check_torch_version()
{
  const std::uint64_t found = aoti_torch_abi_version();
  if (found == TORCH_ABI_VERSION) return;
  const auto byte = [&](int shift) { return std::to_string((found >> shift) & 0xff); };
  throw Error("lpsmd was built for torch " TORCH_VERSION ", but torch " + byte(56) + "." + byte(48) + "." + byte(40) +
              " was loaded: install torch==" TORCH_VERSION ", or install lpsmd again beside this torch");
}

/// Text of a torch error without its stack trace. TorchScript programs throw several kinds, and tell what happened in
/// the last line of a trace of their own.
std::string reason(const std::exception &error)
{
  const auto *const torch_error = dynamic_cast<const c10::Error *>(&error);
  std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  while (text.ends_with('\n')) text.pop_back();
  const bool traced = text.find("Traceback of TorchScript") != std::string::npos;
  return traced ? text.substr(text.rfind('\n') + 1) : text;
}

/// Programs throw their own kinds of exceptions around the allocator's: only the text tells.
bool is_out_of_memory(const std::exception &error)
{
  if (dynamic_cast<const std::bad_alloc *>(&error)) return true;
  const std::string text = error.what();
  return std::ranges::any_of(std::array{"out of memory", "can't allocate memory", "not enough memory"},
                             [&](const char *sign) { return text.find(sign) != std::string::npos; });
}

/// Shapes differ from step to step: kernels must be specialised for none of them.
void allow_dynamic_shapes()
{
  static std::once_flag once;
  std::call_once(once, [] {
    torch::jit::FusionStrategy strategy{{torch::jit::FusionBehavior::DYNAMIC, 3}};
    torch::jit::setFusionStrategy(strategy);
  });
}

}  // namespace

struct ModelSession::Backend {
  Passport passport;
  torch::jit::Module program;
  torch::Device device;
  torch::Tensor atom_energies, edge_gradients;
  double self_test_error = 0.0;

  void run(const ProgramInput &input)
  {
    const auto centres = tensor_view(input.centres, torch::kInt64, device);
    const auto neighbors = tensor_view(input.neighbors, torch::kInt64, device);
    const auto outputs =
        program
            .forward({tensor_view(input.vectors, torch::kFloat64, device).view({-1, 3}),
                      torch::stack({centres, neighbors}), tensor_view(input.types, torch::kInt64, device),
                      tensor_view(input.weights, torch::kFloat64, device)})
            .toTuple();
    const auto to_host = [&](std::size_t k) {
      return outputs->elements()[k].toTensor().detach().to(torch::kCPU, torch::kFloat64).contiguous();
    };
    atom_energies = to_host(0);
    edge_gradients = to_host(1);
  }
};

ModelSession::ModelSession(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}
ModelSession::ModelSession(ModelSession &&) noexcept = default;
ModelSession &ModelSession::operator=(ModelSession &&) noexcept = default;
ModelSession::~ModelSession() = default;

ModelSession ModelSession::load(const std::string &path, const DeviceChoice &choice)
{
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable))
    throw Error("model file " + path + " does not exist; give the path of a file that `lpsmd export` wrote");
  check_torch_version();
  const torch::Device device = choose_device(choice);
  allow_dynamic_shapes();

  torch::jit::ExtraFilesMap extra{{kPassportFile, ""}};
  torch::jit::Module program;
  try {
    program = torch::jit::load(path, device, extra);
  } catch (const std::exception &error) {
    throw Error("model file " + path + " is truncated or no TorchScript archive (" + reason(error) +
                "); copy it again or export it with `lpsmd export`");
  }
  if (extra[kPassportFile].empty())
    throw Error("model file " + path + " has no lpsmd passport; write it with `lpsmd export`, which adds one");
  program.eval();
  auto backend = std::make_unique<Backend>(
      Backend{parse_passport(extra[kPassportFile], path), std::move(program), device, {}, {}, 0.0});
  ModelSession session(std::move(backend));
  session.self_test(path);
  return session;
}

const Passport &ModelSession::passport() const
{
  return backend_->passport;
}

std::string ModelSession::device_description() const
{
  if (backend_->device.is_cuda()) return backend_->device.str();
  const int threads = at::get_num_threads();
  return "cpu, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

double ModelSession::self_test_error_eV_per_A() const
{
  return backend_->self_test_error;
}

int ModelSession::gpu_count()
{
  return static_cast<int>(torch::cuda::device_count());
}

bool ModelSession::on_gpu() const
{
  return backend_->device.is_cuda();
}

void ModelSession::set_thread_count(int threads)
{
  if (threads != at::get_num_threads()) at::set_num_threads(threads);
}

void ModelSession::evaluate(const ProgramInput &input)
{
  const std::size_t atoms = input.types.size(), edges = input.centres.size();
  if (atoms == 0) {  // some programs cannot reshape nothing
    backend_->atom_energies = torch::empty({0}, torch::kFloat64);
    backend_->edge_gradients = torch::empty({0, 3}, torch::kFloat64);
    return;
  }
  const std::string size = std::to_string(atoms) + " atoms and " + std::to_string(edges) + " edges";
  try {
    backend_->run(input);
  } catch (const std::exception &error) {
    if (is_out_of_memory(error))
      throw Error("out of memory on " + backend_->device.str() + " for " + size +
                  ": use more or larger devices (more ranks share the atoms among them), fewer replicas on each, or a "
                  "smaller cell (" +
                  reason(error) + ")");
    throw Error("the model's program failed on " + backend_->device.str() + " for " + size + ": " + reason(error));
  }
  if (static_cast<std::size_t>(backend_->atom_energies.numel()) == atoms &&
      static_cast<std::size_t>(backend_->edge_gradients.numel()) == 3 * edges)
    return;
  throw Error("the model gave " + std::to_string(backend_->atom_energies.numel()) + " energies and " +
              std::to_string(backend_->edge_gradients.numel()) + " gradient components for " + size +
              ": it breaks the model contract; export it again");
}

std::span<const double> ModelSession::atom_energies() const
{
  return span_of(backend_->atom_energies);
}

std::span<const double> ModelSession::edge_gradients() const
{
  return span_of(backend_->edge_gradients);
}

void ModelSession::self_test(const std::string &path)
{
  const Passport &passport = backend_->passport;
  const ReferenceFrame &frame = passport.reference;
  const NeighborGraph graph =
      periodic_graph(frame.positions_A, frame.types, frame.cell_A, frame.periodic, passport.graph_rules());
  const std::vector<std::int64_t> types(frame.types.begin(), frame.types.end());
  const std::vector<double> weights(types.size(), 1.0);
  try {
    for (int call = 0; call < kWarmUpCalls; ++call)
      evaluate({graph.centres(), graph.neighbors(), graph.vectors(), types, weights});
  } catch (const Error &error) {
    throw Error("model file " + path + " does not run on its own reference frame: " + error.what());
  }

  const auto n = static_cast<double>(types.size());
  std::vector<double> forces(3 * types.size(), 0.0);
  const Matrix3 virial = add_forces(graph, edge_gradients(), forces);
  double energy = 0.0, force_error = 0.0, virial_error = 0.0;
  for (const double e : atom_energies()) energy += e;
  for (std::size_t k = 0; k < forces.size(); ++k)
    force_error = std::max(force_error, std::abs(forces[k] - frame.forces_eV_per_A[k]));
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b)
      virial_error = std::max(virial_error, std::abs(virial[a][b] - frame.virial_eV[a][b]) / n);
  const double energy_error = std::abs(energy - frame.energy_eV) / n;
  backend_->self_test_error = force_error;

  // Negated comparisons, so that NaN fails.
  const Tolerance allowed = tolerance_of(passport.dtype);
  if (!(force_error <= allowed.force_eV_per_A) || !(energy_error <= allowed.energy_eV_per_atom) ||
      !(virial_error <= allowed.energy_eV_per_atom)) {
    const auto number = [](double value) {
      char text[32];
      std::snprintf(text, sizeof text, "%.2g", value);
      return std::string(text);
    };
    throw Error("model file " + path + " does not reproduce its own reference frame on " + backend_->device.str() +
                ": forces differ by " + number(force_error) + " eV/Angstrom (allowed " +
                number(allowed.force_eV_per_A) + "), energy by " + number(energy_error) + ", virial by " +
                number(virial_error) + " eV/atom (allowed " + number(allowed.energy_eV_per_atom) +
                "). Do not run it: export it again and compare with `lpsmd model check`");
  }
}

}  // namespace lpsmd
