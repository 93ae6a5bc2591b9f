/* What the range of a single parameter can't say. Each gets the decoded struct; errors are
 * E_INVALID. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"

enum status check_op_rename(const void *params, struct err *err);
enum status check_op_cast(const void *params, struct err *err);
enum status check_op_fill_missing(const void *params, struct err *err);
enum status check_decision_tree(const void *params, struct err *err);
enum status check_random_forest(const void *params, struct err *err);
enum status check_exec(const void *params, struct err *err);
