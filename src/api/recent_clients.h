// Which client handed in a request, by its number: for `decree explain`. Remembers the last so many.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace decree::api {

class RecentClients {
 public:
  explicit RecentClients(size_t requests_max) : requests_max_(requests_max) {}

  // Allocates only while the table grows to its size. `address` may be null.
  void note(uint64_t seq, std::shared_ptr<const std::string> address) {
    if (requests_max_ == 0 || !address) return;
    const size_t place = seq % requests_max_;
    if (place >= table_.size()) table_.resize(place + 1);
    table_[place] = {seq, std::move(address)};
  }
  // Empty when it is not known any more.
  std::string find(uint64_t seq) const {
    const size_t place = requests_max_ == 0 ? 0 : seq % requests_max_;
    return place < table_.size() && table_[place].seq == seq ? *table_[place].address : std::string();
  }

 private:
  struct Request {
    uint64_t seq = 0;
    std::shared_ptr<const std::string> address;
  };
  const size_t requests_max_;
  std::vector<Request> table_;
};

}  // namespace decree::api
