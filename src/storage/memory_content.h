// The bytes of a simulated file, shared between the visible and the durable image and between forks of a
// disk.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace decree::storage {

constexpr uint64_t kPageBytes = 4096;

struct Page {
  std::array<char, kPageBytes> bytes{};
};

// Bytes of a file in pages that forks and the durable image share until one of them writes. A null page is
// zeros.
class FileContent {
 public:
  uint64_t size() const { return size_; }

  size_t read(uint64_t offset, std::span<char> out) const {
    if (offset >= size_) return 0;
    const size_t n = static_cast<size_t>(std::min<uint64_t>(out.size(), size_ - offset));
    for (size_t done = 0; done < n;) {
      const uint64_t at = offset + done;
      const size_t in_page = static_cast<size_t>(at % kPageBytes);
      const size_t piece = std::min<size_t>(n - done, kPageBytes - in_page);
      const std::shared_ptr<Page>& page = pages_[at / kPageBytes];
      if (page) {
        std::memcpy(out.data() + done, page->bytes.data() + in_page, piece);
      } else {
        std::memset(out.data() + done, 0, piece);
      }
      done += piece;
    }
    return n;
  }

  // `data` null: zeros.
  void write(uint64_t offset, const char* data, uint64_t bytes) {
    if (offset + bytes > size_) resize(offset + bytes);
    for (uint64_t done = 0; done < bytes;) {
      const uint64_t at = offset + done;
      const size_t in_page = static_cast<size_t>(at % kPageBytes);
      const size_t piece = static_cast<size_t>(std::min<uint64_t>(bytes - done, kPageBytes - in_page));
      std::shared_ptr<Page>& page = pages_[at / kPageBytes];
      if (data == nullptr && piece == kPageBytes) {
        page.reset();
      } else if (data != nullptr || page) {
        char* to = writable(page) + in_page;
        if (data != nullptr) {
          std::memcpy(to, data + done, piece);
        } else {
          std::memset(to, 0, piece);
        }
      }
      done += piece;
    }
  }

  void resize(uint64_t bytes) {
    if (bytes < size_ && bytes % kPageBytes != 0) {
      std::shared_ptr<Page>& page = pages_[bytes / kPageBytes];
      if (page) std::memset(writable(page) + bytes % kPageBytes, 0, kPageBytes - bytes % kPageBytes);
    }
    pages_.resize((bytes + kPageBytes - 1) / kPageBytes);
    size_ = bytes;
  }

  // Makes this range's pages those of `other`, which must differ from this content only there.
  void share(const FileContent& other, uint64_t offset, uint64_t bytes) {
    if (bytes == 0) return;
    if (size_ < other.size_) {
      pages_.resize(other.pages_.size());
      size_ = other.size_;
    }
    const uint64_t end =
        std::min<uint64_t>((offset + bytes + kPageBytes - 1) / kPageBytes, other.pages_.size());
    for (uint64_t p = offset / kPageBytes; p < end; ++p) pages_[p] = other.pages_[p];
  }

 private:
  static char* writable(std::shared_ptr<Page>& page) {
    if (!page) {
      page = std::make_shared<Page>();
    } else if (page.use_count() > 1) {
      page = std::make_shared<Page>(*page);
    }
    return page->bytes.data();
  }

  std::vector<std::shared_ptr<Page>> pages_;
  uint64_t size_ = 0;
};

}  // namespace decree::storage
