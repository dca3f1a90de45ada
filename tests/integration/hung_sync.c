// Preloaded into a server: while the file named by SYNC_HANGS_WHILE exists, no sync returns. Never part of a release.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void hang(void) {
  const char* path = getenv("SYNC_HANGS_WHILE");
  const struct timespec pause = {0, 10 * 1000 * 1000};
  while (path != NULL && access(path, F_OK) == 0) nanosleep(&pause, NULL);
}

int fsync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  hang();
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  hang();
  return real(fd);
}
