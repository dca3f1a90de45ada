// Preloaded into a server, this turns every sync into nothing. The power test must then fail: that is the test of
// the power test. Never part of a release.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/types.h>

int fsync(int fd) {
  (void)fd;
  return 0;
}
int fdatasync(int fd) {
  (void)fd;
  return 0;
}
int msync(void* address, size_t length, int flags) {
  (void)address;
  (void)length;
  (void)flags;
  return 0;
}
int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags) {
  (void)fd;
  (void)offset;
  (void)bytes;
  (void)flags;
  return 0;
}
int syncfs(int fd) {
  (void)fd;
  return 0;
}
