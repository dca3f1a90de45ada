// Preloaded into a server: while the file named by SYNC_FAULT_FILE holds a number n, the n-th sync from then on, and every
// later one, answers EIO and makes nothing durable. Never part of a release.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long left = 0;  // 0: not armed

static int strikes(void) {
  const char* path = getenv("SYNC_FAULT_FILE");
  if (path == NULL) return 0;
  pthread_mutex_lock(&mutex);
  int struck = 0;
  FILE* file = fopen(path, "re");
  if (file == NULL) {
    left = 0;
  } else {
    long n = 0;
    if (left == 0 && fscanf(file, "%ld", &n) == 1 && n > 0) left = n;
    fclose(file);
    if (left == 1) {
      struck = 1;
    } else if (left > 1) {
      --left;
    }
  }
  pthread_mutex_unlock(&mutex);
  return struck;
}

int fsync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  if (strikes()) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (strikes()) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}
