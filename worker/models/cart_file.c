// SPDX-License-Identifier: Apache-2.0
#include "worker/models/cart.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/mem.h"

const struct tensor *cart_find_tensor(const struct tensor *tensors, size_t tensor_count,
                                      const char *name)
{
    for (size_t i = 0; i < tensor_count; i++)
        if (!strcmp(tensors[i].name, name))
            return &tensors[i];
    return NULL;
}

void cart_save(const struct cart *cart, struct tensor *out)
{
    size_t count = cart->node_count;
    struct tensor tensors[CART_TENSORS] = {
        {"children_left", TENSOR_I32, 1, {count}, cart->left},
        {"children_right", TENSOR_I32, 1, {count}, cart->right},
        {"feature", TENSOR_I32, 1, {count}, cart->feature},
        {"impurity", TENSOR_F64, 1, {count}, cart->impurity},
        {"n_node_samples", TENSOR_I64, 1, {count}, cart->samples},
        {"threshold", TENSOR_F64, 1, {count}, cart->threshold},
        {"value", TENSOR_F64, 2, {count, cart->stride}, cart->value},
    };
    memcpy(out, tensors, sizeof tensors);
}

struct wanted {
    const char *name;
    enum tensor_type type;
    size_t item_bytes, stride; /* stride 0: one dimension */
};

/* A copy of a tensor of node_count (× stride) items, whose shape must be just that. */
static enum status copy_array(const struct tensor *tensors, size_t tensor_count,
                              const struct wanted *wanted, size_t node_count, void *out_p,
                              struct err *err)
{
    const struct tensor *tensor = cart_find_tensor(tensors, tensor_count, wanted->name);
    if (!tensor || tensor->type != wanted->type || tensor->dims != (wanted->stride ? 2 : 1) ||
        tensor->shape[0] != node_count || (wanted->stride && tensor->shape[1] != wanted->stride))
        return err_set(err, E_CORRUPT, "the model's `%s` is missing or has another type or shape",
                       wanted->name);
    size_t count = node_count * (wanted->stride ? wanted->stride : 1);
    void *copy;
    TRY(mem_try(count, wanted->item_bytes, wanted->name, &copy, err));
    memcpy(copy, tensor->data, count * wanted->item_bytes);
    *(void **)out_p = copy;
    return OK;
}

enum status cart_load(const struct tensor *tensors, size_t tensor_count, size_t stride,
                      struct cart *out, struct err *err)
{
    *out = (struct cart){.stride = stride};
    const struct tensor *left = cart_find_tensor(tensors, tensor_count, "children_left");
    if (!left || left->dims != 1 || !left->shape[0])
        return err_set(err, E_CORRUPT, "the model has no nodes");
    size_t count = left->shape[0];
    struct {
        struct wanted wanted;
        void *array_p;
    } arrays[] = {
        {{"children_left", TENSOR_I32, sizeof(int32_t), 0}, &out->left},
        {{"children_right", TENSOR_I32, sizeof(int32_t), 0}, &out->right},
        {{"feature", TENSOR_I32, sizeof(int32_t), 0}, &out->feature},
        {{"n_node_samples", TENSOR_I64, sizeof(int64_t), 0}, &out->samples},
        {{"impurity", TENSOR_F64, sizeof(double), 0}, &out->impurity},
        {{"threshold", TENSOR_F64, sizeof(double), 0}, &out->threshold},
        {{"value", TENSOR_F64, sizeof(double), stride}, &out->value},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        TRY(copy_array(tensors, tensor_count, &arrays[i].wanted, count, arrays[i].array_p, err));
    out->node_count = out->capacity = count;
    return OK;
}

static enum status check_inner(const struct cart *cart, size_t node, size_t place, size_t count,
                               size_t column_count, struct err *err)
{
    int32_t left = cart->left[node], right = cart->right[node], feature = cart->feature[node];
    bool has_children = left > 0 && right > 0 && (size_t)left > place && (size_t)right > place &&
                        (size_t)left < count && (size_t)right < count;
    if (!has_children)
        return err_set(err, E_CORRUPT, "node %zu of a tree has the children %d and %d", place, left,
                       right);
    if (feature < 0 || (size_t)feature >= column_count)
        return err_set(err, E_CORRUPT, "node %zu of a tree splits feature %d of %zu", place,
                       feature, column_count);
    if (!isfinite(cart->threshold[node]))
        return err_set(err, E_CORRUPT, "node %zu of a tree has no finite threshold", place);
    return OK;
}

enum status cart_check(const struct cart *cart, size_t first, size_t count, size_t column_count,
                       struct err *err)
{
    if (!count)
        return err_set(err, E_CORRUPT, "a tree without nodes");
    for (size_t place = 0; place < count; place++) {
        size_t node = first + place;
        for (size_t i = 0; i < cart->stride; i++)
            if (!isfinite(cart->value[node * cart->stride + i]))
                return err_set(err, E_CORRUPT, "node %zu of a tree has no finite value", place);
        if (cart->left[node] == CART_LEAF && cart->right[node] == CART_LEAF)
            continue;
        TRY(check_inner(cart, node, place, count, column_count, err));
    }
    return OK;
}
