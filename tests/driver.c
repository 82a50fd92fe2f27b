/* A stand-in for NVIDIA's driver: each picture's luma is its place in the order of presentation,
   U counts its rows, V its columns from 255 down. Compiled by sources/test_hardware.py. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ffnvcodec/dynlink_cuda.h>
#include <ffnvcodec/dynlink_cuviddec.h>

enum { OK = 0, INVALID_DEVICE = 101, SURFACES = 64 };
typedef struct { size_t pitch, height; uint8_t *surfaces[SURFACES]; } Decoder;

int cuDeviceGet(CUdevice *device, int index) { *device = index; return index ? INVALID_DEVICE : OK; }
int cuDeviceGetAttribute(int *value, int what, CUdevice device) { *value = 256; return OK; }
int cuGetErrorName(int code, const char **text) { *text = "ERROR"; return OK; }
int cuGetErrorString(int code, const char **text) { *text = "no such device"; return OK; }

int cuMemAlloc_v2(CUdeviceptr *at, size_t size) { *at = (CUdeviceptr)malloc(size); return OK; }
int cuMemFree_v2(CUdeviceptr at) { free((void *)at); return OK; }

int cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c, void *stream) {
    char *host = c->dstHost, *device = (char *)c->dstDevice, *from = (char *)c->srcDevice;
    char *to = c->dstMemoryType == CU_MEMORYTYPE_HOST ? host : device;
    for (size_t row = 0; row < c->Height; row++)
        memcpy(to + row * c->dstPitch, from + row * c->srcPitch, c->WidthInBytes);
    return OK;
}

int cuvidGetDecoderCaps(CUVIDDECODECAPS *caps) {
    caps->bIsSupported = !getenv("DRIVER_REFUSES");
    caps->nOutputFormatMask = 1 << cudaVideoSurfaceFormat_NV12;
    caps->nMaxWidth = caps->nMaxHeight = 8192;
    caps->nMaxMBCount = 1 << 20;
    return OK;
}

int cuvidCreateDecoder(void **handle, CUVIDDECODECREATEINFO *info) {
    Decoder *decoder = calloc(1, sizeof *decoder);
    decoder->pitch = (info->ulTargetWidth + 255) / 256 * 256;
    decoder->height = info->ulTargetHeight;
    for (int i = 0; i < SURFACES; i++)
        decoder->surfaces[i] = malloc(decoder->pitch * decoder->height * 3 / 2);
    *handle = decoder;
    return OK;
}

int cuvidDestroyDecoder(void *handle) {
    for (int i = 0; i < SURFACES; i++) free(((Decoder *)handle)->surfaces[i]);
    free(handle);
    return OK;
}

int cuvidDecodePicture(void *handle, CUVIDPICPARAMS *picture) {
    Decoder *decoder = handle;
    size_t pitch = decoder->pitch, height = decoder->height;
    uint8_t *luma = decoder->surfaces[picture->CurrPicIdx], *chroma = luma + pitch * height;
    memset(luma, picture->CodecSpecific.h264.CurrFieldOrderCnt[0] / 2, pitch * height);
    for (size_t at = 0; at < pitch * height / 2; at += 2) {
        chroma[at] = at / pitch;
        chroma[at + 1] = 255 - at % pitch / 2;
    }
    return OK;
}

int cuvidMapVideoFrame64(void *handle, int index, unsigned long long *at, unsigned *pitch, void *how) {
    *at = (unsigned long long)((Decoder *)handle)->surfaces[index];
    *pitch = ((Decoder *)handle)->pitch;
    return OK;
}
