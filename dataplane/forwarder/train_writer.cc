#include "dataplane/forwarder/train_writer.hh"

namespace qanat::forwarder {

bool TrainWriter::fits(const TrainKey& key, std::size_t size) const {
  if (!open_ || !(key == key_) || open_count_ == kMaxTrainSegments) return false;
  const Datagrams& train = trains_.back();
  return size <= train.segment_bytes && train.bytes.size() + size <= kMaxTrainBytes &&
         used_ + size <= kChunkBytes;
}

packet::MutableBytes TrainWriter::reserve(const TrainKey& key, std::size_t size) {
  reserved_joins_ = fits(key, size);
  if (!reserved_joins_ && (chunks_.empty() || used_ + size > kChunkBytes)) {
    if (!chunks_.empty()) ++chunk_;
    if (chunk_ == chunks_.size())
      chunks_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(kChunkBytes));
    used_ = 0;
    open_ = false;
  }
  reserved_key_ = key;
  reserved_ = size;
  return {chunks_[chunk_].get() + used_, size};
}

void TrainWriter::commit() {
  if (reserved_joins_) {
    Datagrams& train = trains_.back();
    train.bytes = {train.bytes.data(), train.bytes.size() + reserved_};
    ++open_count_;
    open_ = reserved_ == train.segment_bytes;  // a shorter one is the last
  } else {
    trains_.push_back({{chunks_[chunk_].get() + used_, reserved_},
                       reserved_,
                       reserved_key_.remote,
                       reserved_key_.line,
                       reserved_key_.traffic_class});
    key_ = reserved_key_;
    open_ = true;
    open_count_ = 1;
  }
  used_ += reserved_;
  bytes_ += reserved_;
}

void TrainWriter::add(const Datagrams& train) {
  trains_.push_back(train);
  bytes_ += train.bytes.size();
  open_ = false;
}

std::span<const Datagrams> TrainWriter::trains() { return trains_; }

void TrainWriter::clear() {
  trains_.clear();
  chunk_ = 0;
  used_ = 0;
  bytes_ = 0;
  open_ = false;
}

}  // namespace qanat::forwarder
