#include "api/backup_stream.h"

#include <openssl/evp.h>

#include "decree/check.h"

namespace decree::api {

namespace {

constexpr size_t block_bytes = 512;
constexpr size_t trailer_max = backup_filling_max + backup_digest_bytes;

Error damaged(const std::string& why) {
  return Error{ErrorCode::corrupt, "it " + why + "; take a new backup, or use an older one"};
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  DECREE_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1, "no SHA-256");
}
Sha256::~Sha256() { EVP_MD_CTX_free(context_); }
void Sha256::add(std::string_view bytes) {
  DECREE_CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1, "SHA-256 failed");
}
std::string Sha256::finish() {
  std::string out(backup_digest_bytes, '\0');
  DECREE_CHECK(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(out.data()), nullptr) == 1,
               "SHA-256 failed");
  return out;
}

bool BackupSource::next(size_t bytes_max, std::string* out) {
  if (machine_ == nullptr) return false;
  const size_t before = out->size();
  const bool more = machine_->next(bytes_max, out);
  bytes_ += out->size() - before;
  if (!more) {
    machine_.reset();
    const size_t filling = 2 + (block_bytes - (bytes_ + 2) % block_bytes) % block_bytes;
    out->append(filling - 2, '\0');
    out->push_back(static_cast<char>(filling & 0xff));
    out->push_back(static_cast<char>(filling >> 8));
  }
  digest_.add(std::string_view(*out).substr(before));
  if (!more) out->append(digest_.finish());
  return more;
}

Result<void> BackupSink::pass_on(std::string_view bytes) {
  digest_.add(bytes);
  return machine_->write(bytes);
}

Result<void> BackupSink::write(std::string_view bytes) {
  bytes_ += bytes.size();
  held_.append(bytes);
  if (held_.size() <= trailer_max) return {};
  const size_t sure = held_.size() - trailer_max;
  Result<void> passed = pass_on(std::string_view(held_).substr(0, sure));
  held_.erase(0, sure);
  return passed;
}

Result<void> BackupSink::finish() {
  if (held_.size() < backup_digest_bytes + 2 || bytes_ % block_bytes != backup_digest_bytes)
    return damaged("ends too early");
  const size_t end = held_.size() - backup_digest_bytes;
  const size_t filling =
      static_cast<uint8_t>(held_[end - 2]) | static_cast<size_t>(static_cast<uint8_t>(held_[end - 1])) << 8;
  if (filling < 2 || filling > backup_filling_max || filling > end)
    return damaged("does not end as a backup does");
  const std::string_view held(held_);
  if (Result<void> passed = pass_on(held.substr(0, end - filling)); !passed) return passed;
  digest_.add(held.substr(end - filling, filling));
  if (digest_.finish() != held.substr(end)) return damaged("is damaged (SHA-256)");
  return machine_->finish();
}

}  // namespace decree::api
