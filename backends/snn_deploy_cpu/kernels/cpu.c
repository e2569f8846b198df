/* What the processor can do, asked once: the library for the best instruction set that it has is used. And what the
 * library was made of. */
#include "kernels.h"
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* Of all sources together: snn_deploy_cpu.kernels.sources.digest_sources. */
EXPORT int64_t source_digest(void) {
    return SOURCE_DIGEST;
}

#if defined(__aarch64__) && defined(__linux__)
/* Numbers of the kernel's, which older headers do not name: HWCAP_ASIMDDP, HWCAP2_I8MM. */
static bool has_dot_products(void) { return getauxval(AT_HWCAP) >> 20 & 1; }
static bool has_mixed_signs(void) { return getauxval(AT_HWCAP2) >> 13 & 1; }
#elif defined(__aarch64__) && defined(__APPLE__)
static bool has(const char *feature) {
    int32_t value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(feature, &value, &size, NULL, 0) && value;
}
static bool has_dot_products(void) { return has("hw.optional.arm.FEAT_DotProd"); }
static bool has_mixed_signs(void) { return has("hw.optional.arm.FEAT_I8MM"); }
#elif !defined(__x86_64__)
static bool has_dot_products(void) { return false; }
static bool has_mixed_signs(void) { return false; }
#endif

/* A bit for each of INSTRUCTION_SETS in library.py: any processor's, AVX2, AVX2 with 8-bit dot products (AVX-VNNI), AVX-512
 * with its own (VNNI); Neon with dot products of equal signs (SDOT) and of both (USDOT). Not each has all before it: servers
 * of 2021 have the fourth and not the third. */
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
    return 1 | has_dot_products() << 4 | (has_dot_products() && has_mixed_signs()) << 5;
#endif
}
