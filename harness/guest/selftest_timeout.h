/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What selftests include first that run on a kernel which watches itself: each of their tests may take
 * ten times as long as kselftest lets it, as each program may.
 */

/* Files without tests include this as well, and the linker is to take one of what they then all define. */
#pragma weak _fixture_global
#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300
