/* What ThreadSanitizer leaves alone (MODE=tsan). Libraries that are not built with it order their
 * threads' accesses by means that it does not see: libzmq hands messages over in lock-free pipes,
 * what an LMDB transaction writes is reached by nobody before its commit. So what they call is not
 * watched, what our own code reads and writes is. In the program and not in TSAN_OPTIONS, which
 * adds to it: a slot has no environment. */
// SPDX-License-Identifier: Apache-2.0
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}
