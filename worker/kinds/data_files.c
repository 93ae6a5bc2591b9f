// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/data_files.h"

#include <limits.h>
#include <string.h>

#include "common/fs.h"

enum status data_read_input(const struct kind_input *input, uint32_t index, struct buf *out,
                            struct err *err)
{
    if (index >= input->count)
        return err_set(err, E_INVALID, "input %s: no item %u", input->name, index);
    if (input->artifacts && input->artifacts[index].is_tree)
        return err_set(err, E_INVALID, "input %s: a folder; expected a file", input->name);
    return fs_read(input->files[index], out, err);
}

enum status data_write_output(const struct kind_call *call, const char *name,
                              const struct buf *bytes, struct err *err)
{
    char path[PATH_MAX];
    TRY(kind_output_path(call, name, path, sizeof path, err));
    return fs_write(path, bytes->bytes, bytes->count, err);
}

enum status data_read_dataset(const struct kind_input *input, struct dataset **out, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    *out = NULL;
    TRY(data_read_input(input, 0, &bytes, err));
    return dataset_read(input->name, bytes.bytes, bytes.count, out, err);
}

enum status data_check_outputs(const struct kind_call *call, const char *const *made,
                               struct err *err)
{
    AUTO(buf_fini) struct buf list = buf_init(0);
    for (size_t i = 0; made[i]; i++)
        buf_format(&list, "%s%s", i ? ", " : "", made[i]);
    for (uint32_t i = 0; i < call->output_count; i++) {
        size_t k = 0;
        while (made[k] && strcmp(made[k], call->outputs[i]) != 0)
            k++;
        if (!made[k])
            return err_set(err, E_INVALID, "no output `%.64s` with these parameters; there are: %s",
                           call->outputs[i], buf_text(&list));
    }
    return OK;
}
