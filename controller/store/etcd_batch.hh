// EtcdBatch: what a batch writes, gathered into as few transactions as etcd takes, in the order of the calls.
// Nearly every change of an operator is one transaction: all of it or nothing. One of more rows or bytes than etcd takes at
// once is several, each a run of whole calls: who stops between two of them leaves what an earlier stop between calls would.
#pragma once

#include <vector>

#include "controller/store/etcd_client.hh"

namespace qanat::store {

class EtcdBatch {
 public:
  // Of one transaction: etcd refuses requests over 1.5 MiB (--max-request-bytes), of which base64 takes a third.
  static constexpr std::size_t kMostBytes = 1024 * 1024;

  // One call's changes, which stay together. A row that is written again is written once, as it was last.
  void add(const std::vector<EtcdChange>& changes);
  // One transaction each, to be written in this order.
  std::vector<std::vector<EtcdChange>> take() { return std::move(transactions_); }

 private:
  std::vector<std::vector<EtcdChange>> transactions_;
  std::size_t bytes_ = 0;  // of the last one
};

}  // namespace qanat::store
