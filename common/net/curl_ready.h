/* libcurl wants one global initialisation before its first use by any thread. Every file of this
 * folder that uses it calls curl_ready() first. Cheap after the first time; any thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

void curl_ready(void);
