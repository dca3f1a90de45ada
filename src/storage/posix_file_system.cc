#include "storage/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace decree::storage {

namespace {

Error os_error(const char* call, const std::string& path, int code) {
  const std::string what = std::string(call) + " " + path + ": " + std::strerror(code);
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return Error{ErrorCode::no_space, what + "; free space on that file system"};
    case ENOENT:
      return Error{ErrorCode::not_found, what};
    case EACCES:
    case EPERM:
    case EROFS:
      return Error{
          ErrorCode::permission,
          what + "; give the user this process runs as read and write access, or choose another directory"};
    case ENOTDIR:
    case ELOOP:
      return Error{ErrorCode::invalid, what + "; symbolic links and plain files are not accepted there"};
    default:
      return Error{ErrorCode::io, what + "; check the disk and the kernel log"};
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

constexpr size_t kDirectAlignment = 4096;
struct alignas(kDirectAlignment) ZeroPiece : std::array<char, 1u << 20> {};
const ZeroPiece kZeros{};

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  Result<size_t> read(uint64_t offset, std::span<char> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n =
          ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return os_error("read", path_, errno);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Result<void> write(uint64_t offset, std::string_view bytes) override {
    return write_to(fd_.get(), offset, bytes);
  }

  Result<void> write_to(int fd, uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return os_error("write", path_, errno);
      }
      if (n == 0) return os_error("write", path_, EIO);
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  // Not even EINTR is retried: after a failed sync the kernel may call lost pages clean.
  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return os_error("sync", path_, errno);
    return {};
  }

  Result<void> zero_fill(uint64_t offset, uint64_t bytes) override {
    // Reserves the blocks first: a full disk is told here, not half-way through. Not every file system can.
    int code = ::posix_fallocate(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes));
    if (code == ENOSPC || code == EDQUOT || code == EIO) return os_error("reserve space in", path_, code);
    // Past the page cache where the file system allows it: a copy of zeros there would cost a tenth of a busy
    // member's processor.
    const Descriptor direct(::open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
    const bool aligned = offset % kDirectAlignment == 0 && bytes % kDirectAlignment == 0;
    int fd = direct.get() >= 0 && aligned ? direct.get() : fd_.get();
    while (bytes > 0) {
      const uint64_t n = std::min<uint64_t>(bytes, kZeros.size());
      Result<void> written = write_to(fd, offset, std::string_view(kZeros.data(), n));
      if (!written && fd != fd_.get()) {
        fd = fd_.get();  // a device with another alignment, say; what else is wrong shows again
        written = write(offset, std::string_view(kZeros.data(), n));
      }
      if (!written) return written;
      // A flush of the device waits for all that was written before it. Piece by piece, a sync of the log
      // that runs beside this one waits for a piece, not for a whole segment.
      if (auto r = sync(); !r) return r;
      offset += n;
      bytes -= n;
    }
    return {};
  }

  Result<void> truncate(uint64_t bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) return os_error("truncate", path_, errno);
    return {};
  }

  Result<uint64_t> size() const override {
    struct stat st {};
    if (::fstat(fd_.get(), &st) != 0) return os_error("stat", path_, errno);
    return static_cast<uint64_t>(st.st_size);
  }

  const std::string& path() const override { return path_; }

 private:
  Descriptor fd_;
  std::string path_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;  // closing it releases the lock
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC | O_NOFOLLOW;
    if (mode == OpenMode::read_only) flags |= O_RDONLY;
    if (mode == OpenMode::read_write) flags |= O_RDWR;
    if (mode == OpenMode::create) flags |= O_RDWR | O_CREAT | O_EXCL;
    const int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0) return os_error("open", path, errno);
    auto file = std::make_unique<PosixFile>(fd, path);
    struct stat st {};
    if (::fstat(fd, &st) != 0) return os_error("stat", path, errno);
    if (!S_ISREG(st.st_mode)) return os_error("open", path, ENOTDIR);
    return std::unique_ptr<File>(std::move(file));
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return os_error("rename", from, errno);
    return {};
  }

  Result<void> unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return os_error("remove", path, errno);
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) const override {
    DIR* dir = ::opendir(directory.c_str());
    if (dir == nullptr) return os_error("list", directory, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int code = errno;
    ::closedir(dir);
    if (code != 0) return os_error("list", directory, code);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0) return {};
    const int code = errno;
    if (code == EEXIST) {
      auto k = kind(path);
      if (!k) return k.error();
      if (*k == PathKind::directory) return {};
      return Error{ErrorCode::invalid,
                   path + " exists and is not a directory; remove it or choose another directory"};
    }
    return os_error("make directory", path, code);
  }

  Result<void> sync_directory(const std::string& directory) override {
    const int raw = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (raw < 0) return os_error("open", directory, errno);
    const Descriptor fd(raw);
    if (::fsync(fd.get()) != 0) return os_error("sync", directory, errno);
    return {};
  }

  Result<PathKind> kind(const std::string& path) const override {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) {
      if (errno == ENOENT) return PathKind::absent;
      return os_error("stat", path, errno);
    }
    if (S_ISREG(st.st_mode)) return PathKind::file;
    return S_ISDIR(st.st_mode) ? PathKind::directory : PathKind::other;
  }

  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return os_error("open", path, errno);
    auto held = std::make_unique<PosixLock>(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return os_error("lock", path, errno);
      char pid[32] = {};
      const ssize_t n = ::pread(fd, pid, sizeof(pid) - 1, 0);
      std::string who(pid, n > 0 ? static_cast<size_t>(n) : 0);
      while (!who.empty() && who.back() == '\n') who.pop_back();
      return Error{ErrorCode::locked, path + " is held by " +
                                          (who.empty() ? "another process" : "process " + who) +
                                          "; stop it first, or give this one a directory of its own"};
    }
    // Only a hint for the message above; the lock is the kernel's.
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd, 0) == 0) {
      [[maybe_unused]] const ssize_t n = ::pwrite(fd, pid.data(), pid.size(), 0);
    }
    return std::unique_ptr<FileLock>(std::move(held));
  }

  Result<uint64_t> free_bytes(const std::string& path) const override {
    struct statvfs st {};
    if (::statvfs(path.c_str(), &st) != 0) return os_error("stat", path, errno);
    return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  }

  bool is_open_to_others(const std::string& path) const override {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && (st.st_mode & 077) != 0;
  }
};

}  // namespace

std::unique_ptr<FileSystem> make_posix_file_system() { return std::make_unique<PosixFileSystem>(); }

}  // namespace decree::storage
