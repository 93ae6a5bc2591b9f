/* How much memory this process may use, by control groups of both versions laid out in a folder. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/worker/runtime/support.h"

static struct arena arena;
static const char *root;

static int make_root(void **state)
{
    (void)state;
    root = temp_folder(&arena);
    return root ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    assert_int_equal(fs_remove_tree(root, NULL), OK);
    arena_fini(&arena);
    return 0;
}

static void put(const char *path, const char *text)
{
    const char *full = arena_format(&arena, "%s/%s", root, path);
    char *folder = arena_text(&arena, full, strlen(full));
    *strrchr(folder, '/') = 0;
    assert_int_equal(fs_make_dirs(folder, NULL), OK);
    assert_int_equal(fs_write(full, text, strlen(text), NULL), OK);
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_true(machine_memory_limit(root) == UINT64_MAX);
    put("proc/self/cgroup", "nonsense\n0::/a\n1:memory\n::\n");
    assert_true(machine_memory_limit(root) == UINT64_MAX);
}

static void the_least_limit_up_to_the_root_counts(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/kubepods/pod1/box\n");
    put("sys/fs/cgroup/kubepods/pod1/box/memory.max", "max\n");
    assert_true(machine_memory_limit(root) == UINT64_MAX);
    put("sys/fs/cgroup/kubepods/pod1/memory.max", "4294967296\n");
    put("sys/fs/cgroup/kubepods/memory.max", "8589934592\n");
    assert_true(machine_memory_limit(root) == 4294967296);
}

static void in_a_container_the_root_is_its_own_group(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/../outside\n");
    put("sys/fs/cgroup/memory.max", "1073741824\n");
    assert_true(machine_memory_limit(root) == 1073741824);
}

static void version_1_has_a_hierarchy_for_memory(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:cpu,cpuacct:/x\n9:hugetlb,memory:/docker/abc\n0::/y\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "536870912\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
    assert_true(machine_memory_limit(root) == 536870912);
}

static void this_machine_has_some(void **state)
{
    (void)state;
    assert_true(machine_memory() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_there_is_no_limit, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_least_limit_up_to_the_root_counts, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(in_a_container_the_root_is_its_own_group, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(version_1_has_a_hierarchy_for_memory, make_root,
                                        remove_root),
        cmocka_unit_test(this_machine_has_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
