/* What a program in the sandbox tries, by name. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

/* The number of the error that it meets; 0: it went through; 255: no such attempt. */
int attempt(const char *name, const char *argument);
/* A listening local socket at a path, or under an abstract name ("@name"); −1 with errno. */
int listen_at(const char *name);
