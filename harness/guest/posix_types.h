/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before the other selftests: vDSO/vdso_test_correctness.c uses __kernel_old_time_t without
 * its header, which glibc before 2.41 does not include either. One of the selftests is in assembly.
 */
#ifndef __ASSEMBLER__
#include <linux/posix_types.h>
#endif
