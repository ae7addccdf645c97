#include "controller/store/etcd_batch.hh"

#include <algorithm>

namespace qanat::store {

void EtcdBatch::add(const std::vector<EtcdChange>& changes) {
  std::size_t more = 0;
  for (const EtcdChange& change : changes) more += change.key.size() + change.value.value_or("").size();
  if (transactions_.empty() || bytes_ + more > kMostBytes ||
      transactions_.back().size() + changes.size() > EtcdClient::kMostChanges) {
    transactions_.emplace_back();
    bytes_ = 0;
  }
  bytes_ += more;
  auto& last = transactions_.back();
  for (const EtcdChange& change : changes) {
    std::erase_if(last, [&](const EtcdChange& earlier) { return earlier.key == change.key; });
    last.push_back(change);
  }
}

}  // namespace qanat::store
