// AdamW with a moving average over all variables in one launch, and the norm of all gradients.

// One variable: its values, moments, average (or null) and gradient.
struct Variable {
  float *value, *m, *v, *average;
  const float *grad;
  size_t len, first_block;
};

// A block's share: so many values of one variable.
#define CHUNK 16384
struct Share {
  Variable of;
  size_t start, end;
};

__device__ __forceinline__ Share share(const Variable *variables, int count) {
  // The last variable that begins at this block or before.
  int low = 0, high = count - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (variables[middle].first_block <= blockIdx.x)
      low = middle;
    else
      high = middle - 1;
  }
  Share share;
  share.of = variables[low];
  share.start = (blockIdx.x - share.of.first_block) * CHUNK;
  share.end = share.start + CHUNK < share.of.len ? share.start + CHUNK : share.of.len;
  return share;
}

// Squares are added in double, as 1e8 of them are to be told apart. partial: one per block
extern "C" __global__ void squares(const Variable *variables, int count, double *partial) {
  __shared__ double shared[THREADS];
  Share mine = share(variables, count);
  double sum = 0.0;
  for (size_t i = mine.start + threadIdx.x; i < mine.end; i += blockDim.x) {
    double g = mine.of.grad[i];
    sum += g * g;
  }
  shared[threadIdx.x] = sum;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = shared[0];
}

// Their sum, by one block.
extern "C" __global__ void sum(const double *partial, double *total, size_t count) {
  __shared__ double shared[THREADS];
  double sum = 0.0;
  for (size_t i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
  shared[threadIdx.x] = sum;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *total = shared[0];
}

extern "C" __global__ void adamw(const Variable *variables, int count, float grad_scale, float beta1,
                                 float rest1, float beta2, float rest2, float eps, float keep, float step_size,
                                 float root_correction, float decay, float rest) {
  Share mine = share(variables, count);
  Variable variable = mine.of;
  for (size_t i = mine.start + threadIdx.x; i < mine.end; i += blockDim.x) {
    float g = grad_scale * variable.grad[i];
    float m = beta1 * variable.m[i] + rest1 * g;
    float v = beta2 * variable.v[i] + rest2 * g * g;
    float value = keep * variable.value[i] - step_size * m / (sqrtf(v) * root_correction + eps);
    variable.m[i] = m;
    variable.v[i] = v;
    variable.value[i] = value;
    if (variable.average) variable.average[i] = decay * variable.average[i] + rest * value;
  }
}
