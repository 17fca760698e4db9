"""The texts that go beside the network: the header, the example in C99, its makefile."""

from __future__ import annotations

from typing import Any

EXAMPLE = r"""/* Runs samples through the model with MegEngine Lite.

   usage: example MODEL.mge INPUTS RESULTS [EXPECTED TOLERANCE]

   INPUTS holds the inputs of one or more samples, raw, in the order of the header; RESULTS gets their results in the same
   way. With EXPECTED it ends with status 1 when a result differs: floats by more than TOLERANCE times the largest one
   that was expected. MODEL_H names the header: the makefile passes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include MODEL_H

/* The part of Lite's C interface (lite-c/network_c.h, lite-c/tensor_c.h) that this example uses. */
typedef void *LiteNetwork;
typedef void *LiteTensor;
enum { LITE_INPUT = 1, LITE_OUTPUT = 2 };
enum { LITE_LOG_ERROR = 3 };
typedef struct { size_t shapes[7]; size_t ndim; int data_type; } LiteLayout;
int LITE_set_log_level(int level);
int LITE_make_default_network(LiteNetwork *network);
int LITE_load_model_from_path(LiteNetwork network, const char *path);
int LITE_get_io_tensor(LiteNetwork network, const char *name, int phase, LiteTensor *tensor);
int LITE_get_tensor_layout(LiteTensor tensor, LiteLayout *layout);
int LITE_set_tensor_layout(LiteTensor tensor, LiteLayout layout);
int LITE_get_tensor_total_size_in_byte(LiteTensor tensor, size_t *bytes);
int LITE_get_tensor_memory(LiteTensor tensor, void **memory);
int LITE_forward(LiteNetwork network);
int LITE_wait(LiteNetwork network);
int LITE_destroy_network(LiteNetwork network);
const char *LITE_get_last_error(void);

static void must(int status, const char *what) {
    if (status) {
        fprintf(stderr, "%s: %s\n", what, LITE_get_last_error());
        exit(1);
    }
}

/* The memory of an input or a result; its size must be that of the header. */
static void *memory_of(LiteNetwork network, const model_tensor *tensor, int phase) {
    LiteTensor found;
    void *memory;
    size_t bytes;
    must(LITE_get_io_tensor(network, tensor->name, phase, &found), tensor->name);
    if (phase == LITE_INPUT) { /* an input gets its memory when its layout is set */
        LiteLayout layout;
        must(LITE_get_tensor_layout(found, &layout), tensor->name);
        must(LITE_set_tensor_layout(found, layout), tensor->name);
    }
    must(LITE_get_tensor_total_size_in_byte(found, &bytes), tensor->name);
    if (bytes != tensor->bytes) {
        fprintf(stderr, "%s has %lu bytes, the header says %lu\n", tensor->name, (unsigned long)bytes, (unsigned long)tensor->bytes);
        exit(1);
    }
    must(LITE_get_tensor_memory(found, &memory), tensor->name);
    return memory;
}

/* Fills the inputs with the next sample; 0 at the end of the file. */
static int next_sample(LiteNetwork network, FILE *inputs) {
    for (int i = 0; i < MODEL_INPUTS; i++) {
        size_t bytes = model_inputs[i].bytes;
        size_t got = fread(memory_of(network, &model_inputs[i], LITE_INPUT), 1, bytes, inputs);
        if (got == 0 && i == 0 && feof(inputs)) return 0;
        if (got != bytes) {
            fprintf(stderr, "the inputs end within a sample\n");
            exit(1);
        }
    }
    return 1;
}

/* Whether a result is the next one of a file: floats within the tolerance, all else to the bit. */
static int is_expected(const model_tensor *tensor, const void *memory, FILE *expected, double tolerance) {
    void *wanted = malloc(tensor->bytes);
    int same = wanted && fread(wanted, 1, tensor->bytes, expected) == tensor->bytes;
    if (same && strcmp(tensor->type, "float32") == 0) {
        const float *ours = memory, *theirs = wanted;
        double largest = 0, furthest = 0;
        for (size_t i = 0; i < tensor->bytes / sizeof(float); i++) {
            double size = theirs[i] < 0 ? -theirs[i] : theirs[i], far = ours[i] < theirs[i] ? theirs[i] - ours[i] : ours[i] - theirs[i];
            if (size > largest) largest = size;
            if (!(far <= furthest)) furthest = far; /* a NaN counts */
        }
        same = furthest <= tolerance * largest;
        printf("%s: at most %g from what is expected, the largest of which is %g\n", tensor->name, furthest, largest);
    } else if (same) {
        same = memcmp(memory, wanted, tensor->bytes) == 0;
        printf("%s: %s\n", tensor->name, same ? "as expected" : "not as expected");
    }
    free(wanted);
    return same;
}

int main(int count, char **words) {
    if (count != 4 && count != 6) {
        fprintf(stderr, "usage: %s MODEL.mge INPUTS RESULTS [EXPECTED TOLERANCE]\n", words[0]);
        return 2;
    }
    FILE *inputs = fopen(words[2], "rb"), *results = fopen(words[3], "wb");
    if (!inputs || !results) {
        perror(inputs ? words[3] : words[2]);
        return 1;
    }
    FILE *expected = count == 6 ? fopen(words[4], "rb") : NULL;
    if (count == 6 && !expected) {
        perror(words[4]);
        return 1;
    }
    int wrong = 0;
    LiteNetwork network;
    must(LITE_set_log_level(LITE_LOG_ERROR), "LITE_set_log_level");
    must(LITE_make_default_network(&network), "LITE_make_default_network");
    must(LITE_load_model_from_path(network, words[1]), words[1]);
    while (next_sample(network, inputs)) {
        must(LITE_forward(network), "LITE_forward");
        must(LITE_wait(network), "LITE_wait");
        for (int i = 0; i < MODEL_RESULTS; i++) {
            void *memory = memory_of(network, &model_results[i], LITE_OUTPUT);
            if (fwrite(memory, 1, model_results[i].bytes, results) != model_results[i].bytes) {
                perror(words[3]);
                return 1;
            }
            if (expected && !is_expected(&model_results[i], memory, expected, atof(words[5]))) wrong = 1;
        }
        fflush(results);
    }
    must(LITE_destroy_network(network), "LITE_destroy_network");
    return fclose(results) || wrong ? 1 : 0;
}
"""

_MAKEFILE = """\
# make -f net.mk LITE=FOLDER        builds the example; FOLDER holds liblite_shared_whl.so, or set LIBRARY to another name
# make -f net.mk LITE=FOLDER check  runs the golden sample. CHECKED
NAME := $(basename $(lastword $(MAKEFILE_LIST)))
LIBRARY ?= lite_shared_whl

$(NAME): $(NAME).c $(NAME).h
\t$(CC) -std=c99 -O2 -Wall -I. -DMODEL_H='"$(NAME).h"' -o $@ $< -L$(LITE) -l$(LIBRARY) -Wl,-rpath,$(LITE) -Wl,--allow-shlib-undefined

check: $(NAME)
COMMANDS

.PHONY: check
"""


_BITS = """\
\tMKL_CBWR=COMPATIBLE ./$(NAME) $(NAME).mge $(NAME).input $(NAME).results
\tcmp $(NAME).results $(NAME).expected"""
_NEAR = """\
\t./$(NAME) $(NAME).mge $(NAME).input $(NAME).results $(NAME).expected $(TOLERANCE)"""


def makefile(tolerance: float | None) -> str:
    """The makefile, whose check asks for the golden results to the bit, or within a part of the largest one."""
    if tolerance is None:
        checked = "Results are equal bit by bit where MKL, which Lite multiplies with, is told to compute alike on all processors."
        return _MAKEFILE.replace("CHECKED", checked).replace("COMMANDS", _BITS)
    checked = "The results in it are those of the .tm: the device's may differ by TOLERANCE."
    text = _MAKEFILE.replace("CHECKED", checked).replace("COMMANDS", _NEAR)
    return text.replace("LIBRARY ?= lite_shared_whl\n", f"LIBRARY ?= lite_shared_whl\nTOLERANCE ?= {tolerance:g}\n")


def header(inputs: dict[str, Any], results: dict[str, Any]) -> str:
    """The header for arrays by name."""
    return "\n".join(
        [
            "/* Inputs and results of the model, in the order of the files of samples. Sizes are in bytes. */",
            "#ifndef MODEL_TENSORS",
            "#define MODEL_TENSORS",
            "#include <stddef.h>",
            "",
            "typedef struct { const char *name; const char *type; size_t bytes; size_t ndim; size_t shape[7]; } model_tensor;",
            "",
            *_tensors("input", inputs),
            *_tensors("result", results),
            "#endif",
            "",
        ]
    )


def _tensors(kind: str, arrays: dict[str, Any]) -> list[str]:
    entries = [
        f'    {{"{name}", "{array.dtype.name}", {array.nbytes}, {array.ndim}, {{{", ".join(map(str, array.shape))}}}}},'
        for name, array in arrays.items()
    ]
    return [
        f"#define MODEL_{kind.upper()}S {len(arrays)}",
        f"static const model_tensor model_{kind}s[] = {{",
        *entries,
        "};",
        "",
    ]
