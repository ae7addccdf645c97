#include "gateway/pool/engine/kv_cache.hh"

#include <algorithm>

namespace qanat::pool {

KvCache::KvCache(std::uint64_t blocks, std::uint32_t blocks_per_chunk, bool sharing)
    : total_(blocks), blocks_per_chunk_(blocks_per_chunk), sharing_(sharing) {}

std::uint32_t KvCache::lookup(std::span<const BlockHash> content) const {
  if (!sharing_) return 0;
  std::uint32_t found = 0;
  while (found < content.size() && by_hash_.contains(content[found])) ++found;
  return found;
}

bool KvCache::take(Holding& holding, std::span<const BlockHash> content, std::uint32_t hits,
                   std::uint64_t own) {
  std::uint64_t woken = 0;
  holding.chunks.reserve(content.size());
  for (std::uint32_t i = 0; i < hits; ++i) {
    const ChunkIndex index = by_hash_.find(content[i])->second;
    holding.chunks.push_back(index);
    woken += chunks_[index].holders == 0;
  }
  if (own + woken * blocks_per_chunk_ > available()) {
    holding.chunks.clear();
    return false;
  }
  for (const ChunkIndex index : holding.chunks) {
    if (chunks_[index].holders++ > 0) continue;
    unlink(index);
    held_ += blocks_per_chunk_;
  }
  return grow(holding, own);
}

bool KvCache::grow(Holding& holding, std::uint64_t own) {
  if (own > available()) return false;
  make_room(own);
  held_ += own;
  holding.own_blocks += static_cast<std::uint32_t>(own);
  return true;
}

// Evicts idle chunks until `blocks` are free; true once they are.
bool KvCache::make_room(std::uint64_t blocks) {
  while (held_ + reserved_ + cached() + blocks > total_) {
    if (oldest_ == kNone) return false;
    const ChunkIndex index = oldest_;
    unlink(index);
    by_hash_.erase(chunks_[index].hash);
    free_.push_back(index);
    evicted_ += blocks_per_chunk_;
  }
  return true;
}

void KvCache::publish(Holding& holding, BlockHash hash) {
  if (!sharing_ || holding.own_blocks < blocks_per_chunk_) return;
  ChunkIndex index;
  if (free_.empty()) {
    index = static_cast<ChunkIndex>(chunks_.size());
    chunks_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  if (!by_hash_.emplace(hash, index).second) {
    free_.push_back(index);
    return;
  }
  chunks_[index] = {hash, 1, kNone, kNone};
  holding.chunks.push_back(index);
  holding.own_blocks -= blocks_per_chunk_;
}

void KvCache::release(Holding& holding) {
  held_ -= holding.own_blocks;
  holding.own_blocks = 0;
  // The last chunk becomes idle first, so that it is evicted before what it stands on.
  for (auto index = holding.chunks.rbegin(); index != holding.chunks.rend(); ++index) {
    if (--chunks_[*index].holders > 0) continue;
    held_ -= blocks_per_chunk_;
    link_youngest(*index);
  }
  holding.chunks.clear();
  make_room(0);
}

void KvCache::clear() {
  chunks_.clear();
  free_.clear();
  by_hash_.clear();
  oldest_ = youngest_ = kNone;
  held_ = idle_ = 0;
}

void KvCache::set_reserved(std::uint64_t blocks) {
  reserved_ = std::min(blocks, total_);
  make_room(0);
}

void KvCache::link_youngest(ChunkIndex index) {
  chunks_[index].before = youngest_;
  chunks_[index].after = kNone;
  (youngest_ == kNone ? oldest_ : chunks_[youngest_].after) = index;
  youngest_ = index;
  ++idle_;
}

void KvCache::unlink(ChunkIndex index) {
  Chunk& chunk = chunks_[index];
  (chunk.before == kNone ? oldest_ : chunks_[chunk.before].after) = chunk.after;
  (chunk.after == kNone ? youngest_ : chunks_[chunk.after].before) = chunk.before;
  chunk.before = chunk.after = kNone;
  --idle_;
}

}  // namespace qanat::pool
