/* What the processor can do, asked once: the library for the best instruction set that it has is used. And what the
 * library was made of. */
#include "kernels.h"

/* Of all sources together: snn_deploy_cpu.kernels.sources.digest_sources. */
EXPORT int64_t source_digest(void) {
    return SOURCE_DIGEST;
}

/* 0 for any processor, 1 with AVX2, 2 with AVX-512 and its 8-bit dot products (VNNI). */
EXPORT int64_t instruction_set(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 0;
    return 1 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"));
#else
    return 0;
#endif
}
