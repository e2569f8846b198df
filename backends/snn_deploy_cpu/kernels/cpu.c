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

#if defined(__x86_64__)
static bool all(unsigned word, unsigned bits) { return (word & bits) == bits; }

/* Which registers the system saves when it changes threads: without it instructions on them fail. */
static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

/* A bit for each of INSTRUCTION_SETS in library.py: any processor's, AVX2, AVX2 with 8-bit dot products (AVX-VNNI), AVX-512
 * with its own (VNNI); Neon with dot products of equal signs (SDOT) and of both (USDOT). Not each has all before it: servers
 * of 2021 have the fourth and not the third. */
EXPORT int64_t instruction_sets(void) {
#if defined(__x86_64__)
    /* asked by hand: what __builtin_cpu_supports reads is never filled in where ziglang links */
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX2_BMI = 1 << 3 | 1 << 5 | 1 << 8, VNNI = 1 << 11, YMM = 0x6, ZMM = 0xe6 };
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F, DQ, CD, BW, VL */
    unsigned a, b = 0, c = 0, d, first = 0, leaves = 0, second = 0;
    if (!__get_cpuid(1, &a, &b, &first, &d) || !all(first, FMA | OSXSAVE) || !all(saved_registers(), YMM)) return 1;
    if (!__get_cpuid_count(7, 0, &leaves, &b, &c, &d) || !all(b, AVX2_BMI)) return 1;
    const bool wide = all(b, avx512) && all(c, VNNI) && all(saved_registers(), ZMM);
    if (leaves) __get_cpuid_count(7, 1, &second, &b, &c, &d);
    return 3 | (second >> 4 & 1) << 2 | wide << 3;
#else
    return 1 | has_dot_products() << 4 | (has_dot_products() && has_mixed_signs()) << 5;
#endif
}
