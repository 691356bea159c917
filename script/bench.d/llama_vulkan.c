/*
 * Times llama.cpp's Vulkan backend on a GGUF file through its C interface, loaded at run time from prebuilt libraries.
 *
 *   llama_vulkan LIBRARY_FOLDER MODEL PROMPT DECODE
 *
 * Prints one JSON object: prefill and decode speed in tokens per second, and the device.
 *
 * The parameter structs differ from version to version. The System V convention passes them in memory, so one larger buffer
 * serves every version, as long as nothing but the library's own defaults goes through it.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { unsigned char bytes[1024]; } params_t;
typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
} batch_t;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "llama_vulkan: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(2);
}

static void *open_library(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) fail("cannot load a library", dlerror());
    return library;
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) fail("the library has no function", name);
    return found;
}

static int verbose;
static char offloaded[64];

/* Keeps how many layers went to the device, which only the log tells. */
static void log_line(int level, const char *text, void *data) {
    (void)level;
    (void)data;
    const char *found = strstr(text, "offloaded ");
    if (found) sscanf(found, "offloaded %63[0-9/]", offloaded);
    if (verbose) fputs(text, stderr);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Index of the largest logit, as a greedy decoder takes it. */
static int32_t argmax(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int main(int argc, char **argv) {
    if (argc != 5) fail("usage: llama_vulkan LIBRARY_FOLDER MODEL PROMPT DECODE", NULL);
    const char *folder = argv[1];
    int prompt = atoi(argv[3]), decode = atoi(argv[4]);
    if (prompt < 1 || decode < 1 || prompt + decode > 500) fail("prompt and decode must be 1 to 500 together", NULL);
    verbose = getenv("LLAMA_VULKAN_VERBOSE") != NULL;
    /* The backend leaves out software devices unless it is told a device by number. */
    setenv("GGML_VK_VISIBLE_DEVICES", "0", 0);

    open_library(folder, "libggml-base.so");
    void *ggml = open_library(folder, "libggml.vulkan.v0.5.0.so");
    void *llama = open_library(folder, "libllama.vulkan.v0.5.0.so");

    void (*set_log)(void (*)(int, const char *, void *), void *) = symbol(llama, "llama_log_set");
    void (*load_backends)(const char *) = symbol(ggml, "ggml_backend_load_all_from_path");
    size_t (*device_count)(void) = symbol(ggml, "ggml_backend_dev_count");
    void *(*device)(size_t) = symbol(ggml, "ggml_backend_dev_get");
    const char *(*device_name)(void *) = symbol(RTLD_DEFAULT, "ggml_backend_dev_name");
    const char *(*device_text)(void *) = symbol(RTLD_DEFAULT, "ggml_backend_dev_description");
    params_t (*model_defaults)(void) = symbol(llama, "llama_model_default_params");
    params_t (*context_defaults)(void) = symbol(llama, "llama_context_default_params");
    void *(*load_model)(const char *, params_t) = symbol(llama, "llama_model_load_from_file");
    void *(*new_context)(void *, params_t) = symbol(llama, "llama_init_from_model");
    batch_t (*batch_of)(int32_t *, int32_t) = symbol(llama, "llama_batch_get_one");
    int32_t (*run)(void *, batch_t) = symbol(llama, "llama_decode");
    float *(*logits_of)(void *, int32_t) = symbol(llama, "llama_get_logits_ith");
    void *(*model_vocab)(void *) = symbol(llama, "llama_model_get_vocab");
    int32_t (*vocab_size)(void *) = symbol(llama, "llama_vocab_n_tokens");
    void *(*memory_of)(void *) = symbol(llama, "llama_get_memory");
    void (*clear)(void *, uint8_t) = symbol(llama, "llama_memory_clear");

    set_log(log_line, NULL);
    load_backends(folder);
    const char *name = NULL;
    for (size_t i = 0; i < device_count() && !name; i++)
        if (strncmp(device_name(device(i)), "Vulkan", 6) == 0) name = device_text(device(i));
    if (!name) fail("the Vulkan backend finds no device", "set VK_ICD_FILENAMES, or GGML_VK_VISIBLE_DEVICES");

    /* The defaults put every layer on the device. */
    void *model = load_model(argv[2], model_defaults());
    if (!model) fail("cannot load the model", argv[2]);
    void *context = new_context(model, context_defaults());
    if (!context) fail("cannot make a context", NULL);
    int32_t n_vocab = vocab_size(model_vocab(model));
    int32_t tokens[512];
    for (int i = 0; i < prompt; i++) tokens[i] = (i * 37 + 11) % n_vocab;

    double prefill_s = 0, decode_s = 0;
    /* The first round compiles shaders; the second is timed. */
    for (int round = 0; round < 2; round++) {
        clear(memory_of(context), 1);
        double start = now();
        if (run(context, batch_of(tokens, prompt)) != 0) fail("the prompt failed", NULL);
        int32_t token = argmax(logits_of(context, -1), n_vocab);
        prefill_s = now() - start;
        int steps = round == 0 ? 1 : decode;
        start = now();
        for (int i = 0; i < steps; i++) {
            if (run(context, batch_of(&token, 1)) != 0) fail("a token failed", NULL);
            token = argmax(logits_of(context, -1), n_vocab);
        }
        decode_s = now() - start;
    }
    printf("{\"device\": \"%s\", \"offloaded_layers\": \"%s\", \"prefill_tokens_per_second\": %.4f, "
           "\"decode_tokens_per_second\": %.4f}\n",
           name, offloaded, prompt / prefill_s, decode / decode_s);
    return 0;
}
