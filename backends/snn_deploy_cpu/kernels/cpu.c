/* What the processor can do, asked once: the library for the best instruction set that it has is used. And what the
 * library was made of. */
#include "kernels.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* Of all sources together: snn_deploy_cpu.kernels.sources.digest_sources. */
EXPORT int64_t source_digest(void) {
    return SOURCE_DIGEST;
}

/* A bit for each of INSTRUCTION_SETS in library.py: any processor's, AVX2, AVX2 with 8-bit dot products (AVX-VNNI), AVX-512
 * with its own (VNNI). Not each has all before it: servers of 2021 have the last and not the third. */
EXPORT int64_t instruction_sets(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 1;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    unsigned a = 0, b, c, d, leaves = 0;
    __get_cpuid_count(7, 0, &leaves, &b, &c, &d);
    if (leaves) __get_cpuid_count(7, 1, &a, &b, &c, &d);
    return 3 | (a >> 4 & 1) << 2 | wide << 3;
#else
    return 1;
#endif
}
