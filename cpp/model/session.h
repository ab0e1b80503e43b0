#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/neighbor_graph.h"
#include "model/passport.h"

namespace lpsmd {

/// Where a model is to run: `request` is auto, cpu or cuda; `local_rank` picks among the GPUs of a node.
struct DeviceChoice {
  std::string request = "auto";
  int local_rank = 0;
};

/// A model file, loaded and placed on a device: the only code that knows the backend (TorchScript).
///
/// Not thread-safe: one session belongs to one simulation.
class ModelSession {
 public:
  /// Loads `path`, evaluates the passport's reference frame on the very device it will run on until the
  /// program has warmed up, and compares.
  ///
  /// @throws Error if the file is missing, truncated, of another schema, the device is not there, or the
  ///   model does not reproduce its reference.
  static ModelSession load(const std::string &path, const DeviceChoice &device);

  ModelSession(ModelSession &&) noexcept;
  ModelSession &operator=(ModelSession &&) noexcept;
  ~ModelSession();

  const Passport &passport() const;
  /// For the log: "cpu, 1 thread" or "cuda:0 (name)".
  std::string device_description() const;
  /// Largest difference of the reference frame's forces at load, eV/Angstrom.
  double self_test_error_eV_per_A() const;

  bool on_gpu() const;
  static int gpu_count();

  /// Threads that tensor operations of this process may use on the CPU.
  static void set_thread_count(int threads);

  /// Energies and gradients of a graph. The results stay valid until the next call.
  ///
  /// @throws Error if memory runs out, the program fails, or what it returns has not the contract's shapes.
  void evaluate(const ProgramInput &input);
  std::span<const double> atom_energies() const;   ///< [N] eV
  std::span<const double> edge_gradients() const;  ///< [E, 3] d(sum of weighted energies)/d(edge vector), eV/Angstrom

 private:
  struct Backend;
  explicit ModelSession(std::unique_ptr<Backend> backend);
  void self_test(const std::string &path);
  std::unique_ptr<Backend> backend_;
};

}  // namespace lpsmd
