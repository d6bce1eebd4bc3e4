// Runs CUDA kernels on the CPU, for tests: a thread of the system per thread of a block, the blocks one after the other.
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

struct Dim3 {
  unsigned x, y, z;
};
static thread_local Dim3 threadIdx, blockIdx;
static Dim3 blockDim, gridDim;
static std::barrier<> *barrier;

#define __global__
#define __device__
#define __forceinline__ inline
// One block runs at a time.
#define __shared__ static

static void __syncthreads() { barrier->arrive_and_wait(); }
static float __uint_as_float(unsigned u) {
  float f;
  std::memcpy(&f, &u, sizeof f);
  return f;
}
static unsigned __float_as_uint(float f) {
  unsigned u;
  std::memcpy(&u, &f, sizeof u);
  return u;
}
static float cccm_exp(float v) { return std::exp(v); }
#define __expf cccm_exp
static float __fdividef(float a, float b) { return a / b; }
static float rsqrtf(float v) { return 1.f / std::sqrt(v); }

// As cuLaunchKernel takes it: sizes of grid and blocks, and an address for every argument.
template <class... A, size_t... I>
static void launch(void (*kernel)(A...), const unsigned *dims, void **args, std::index_sequence<I...>) {
  gridDim = {dims[0], dims[1], dims[2]};
  blockDim = {dims[3], dims[4], dims[5]};
  unsigned count = blockDim.x * blockDim.y * blockDim.z;
  std::barrier<> all(count);
  barrier = &all;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < count; t++)
    threads.emplace_back([=] {
      threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
      for (unsigned b = 0; b < gridDim.x * gridDim.y * gridDim.z; b++) {
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
        kernel(*static_cast<A *>(args[I])...);
        barrier->arrive_and_wait();
      }
    });
  for (auto &thread : threads) thread.join();
}

template <class... A> static void run(void (*kernel)(A...), const unsigned *dims, void **args) {
  launch(kernel, dims, args, std::index_sequence_for<A...>());
}
