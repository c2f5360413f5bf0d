// A CUDA runtime without a GPU: device memory is host memory, a stream is a list of what has to be done.
//
// It does what vi_fusion_ros/engines/trt/cuda.py counts on, and is strict about it: work on a stream happens when
// the stream is waited for, not before; a copy has to go between pinned memory and device memory, in the direction that
// it says; while a stream is captured its work is recorded and not done; and what is alive is counted.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, CAPTURE_UNSUPPORTED = 900, MOST = 64 };
enum { HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2 };

typedef void (*Function)(void *);
typedef struct { void *to, *from; size_t size; Function function; void *data; } Work;
typedef struct { Work work[MOST]; int count, capturing; } Stream;
typedef struct { char *start; size_t size; int pinned; } Block;

static Block blocks[MOST];
static int live;

static int inside(const void *pointer, size_t size, int pinned) {
  for (int i = 0; i < MOST; i++) {
    const char *start = blocks[i].start, *p = pointer;
    if (start && blocks[i].pinned == pinned && p >= start && p + size <= start + blocks[i].size) return 1;
  }
  return 0;
}

static int take(void **out, size_t size, int pinned) {
  for (int i = 0; i < MOST; i++) {
    if (blocks[i].start) continue;
    blocks[i] = (Block){malloc(size), size, pinned};
    memset(blocks[i].start, 0xA5, size);
    *out = blocks[i].start;
    live++;
    return OK;
  }
  return 2;
}

static int give_back(void *pointer, int pinned) {
  for (int i = 0; i < MOST; i++) {
    if (blocks[i].start != pointer || blocks[i].pinned != pinned) continue;
    free(pointer);
    blocks[i].start = NULL;
    live--;
    return OK;
  }
  return INVALID;
}

static int add(Stream *stream, Work work) {
  if (!stream || stream->count == MOST) return INVALID;
  stream->work[stream->count++] = work;
  return OK;
}

// What no CUDA has: for the stand-in of TensorRT and for tests.
int standin_call(Stream *stream, Function function, void *data) { return add(stream, (Work){0, 0, 0, function, data}); }
int standin_live(void) { return live; }

const char *cudaGetErrorString(int status) {
  if (status == CAPTURE_UNSUPPORTED) return "operation not permitted when stream is capturing";
  return status == INVALID ? "invalid argument" : status == 2 ? "out of memory" : "no error";
}
int cudaGetDeviceCount(int *count) { return *count = 1, OK; }
int cudaRuntimeGetVersion(int *version) { return *version = 12060, OK; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  if (attribute != 75 && attribute != 76) return INVALID;
  *value = attribute == 75 ? 8 : 7;
  return OK;
}
int cudaGetDeviceProperties(char *properties, int device) {
  (void)device;
  strcpy(properties, "Stand-in");
  return OK;
}
int cudaMemGetInfo(size_t *left, size_t *total) { return *left = 1 << 20, *total = 1 << 21, OK; }
int cudaMalloc(void **out, size_t size) { return take(out, size, 0); }
int cudaFree(void *pointer) { return give_back(pointer, 0); }
int cudaHostAlloc(void **out, size_t size, unsigned flags) { return flags ? INVALID : take(out, size, 1); }
int cudaFreeHost(void *pointer) { return give_back(pointer, 1); }

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, Stream *stream) {
  int down = kind == HOST_TO_DEVICE;
  if (!down && kind != DEVICE_TO_HOST) return INVALID;
  if (!inside(to, size, !down) || !inside(from, size, down)) return INVALID;
  return add(stream, (Work){to, (void *)from, size, NULL, NULL});
}

int cudaStreamCreateWithFlags(Stream **out, unsigned flags) {
  if (flags != 1) return INVALID;
  *out = calloc(1, sizeof(Stream));
  live++;
  return OK;
}
int cudaStreamDestroy(Stream *stream) { return free(stream), live--, OK; }
int cudaStreamSynchronize(Stream *stream) {
  if (stream->capturing) return CAPTURE_UNSUPPORTED;
  for (int i = 0; i < stream->count; i++) {
    Work *work = &stream->work[i];
    if (work->function) work->function(work->data);
    else memcpy(work->to, work->from, work->size);
  }
  stream->count = 0;
  return OK;
}
int cudaStreamBeginCapture(Stream *stream, int mode) {
  if (stream->count || mode != 1) return INVALID;
  stream->capturing = 1;
  return OK;
}
int cudaStreamEndCapture(Stream *stream, Stream **graph) {
  *graph = NULL;
  if (!stream->capturing) return INVALID;
  stream->capturing = 0;
  if (getenv("STANDIN_NO_GRAPH")) return stream->count = 0, CAPTURE_UNSUPPORTED;
  *graph = malloc(sizeof(Stream));
  **graph = *stream;
  stream->count = 0;
  live++;
  return OK;
}
int cudaGraphInstantiateWithFlags(Stream **out, Stream *graph, unsigned long long flags) {
  if (flags) return INVALID;
  *out = malloc(sizeof(Stream));
  **out = *graph;
  live++;
  return OK;
}
int cudaGraphLaunch(Stream *graph, Stream *stream) {
  int status = OK;
  for (int i = 0; i < graph->count && status == OK; i++) status = add(stream, graph->work[i]);
  return status;
}
int cudaGraphExecDestroy(Stream *graph) { return free(graph), live--, OK; }
int cudaGraphDestroy(Stream *graph) { return free(graph), live--, OK; }
