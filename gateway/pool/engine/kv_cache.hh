// KvCache: who holds the blocks of KV memory, and which blocks of finished prompts are still there. Content is
// addressed by chained hashes: a chunk's hash covers everything before it, so equal hash means equal prefix.
//
// A chunk is blocks_per_chunk blocks whose content is known. It is shared by all sequences that begin with it; when
// the last lets go it stays until its memory is needed, least recently used first, the tail of a prompt before its
// head. Hit rates are what comes out of this, nowhere a setting.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace qanat::pool {

using BlockHash = std::uint64_t;

class KvCache {
 public:
  using ChunkIndex = std::uint32_t;
  // What one sequence holds: its first chunks, shared, then blocks of its own.
  struct Holding {
    std::vector<ChunkIndex> chunks;
    std::uint32_t own_blocks = 0;
  };

  // `sharing` false: nothing is ever found.
  KvCache(std::uint64_t blocks, std::uint32_t blocks_per_chunk, bool sharing);

  // How many chunks of this content, from its beginning, are here.
  std::uint32_t lookup(std::span<const BlockHash> content) const;
  // Takes the first `hits` chunks (as lookup found them) and `own` new blocks for an empty holding; false, and
  // nothing taken, when there is too little room.
  bool take(Holding& holding, std::span<const BlockHash> content, std::uint32_t hits, std::uint64_t own);
  bool grow(Holding& holding, std::uint64_t own);
  // The next chunk of the holding has been computed: others can find it from now on. A twin that somebody else
  // published first stays the holder's own.
  void publish(Holding& holding, BlockHash hash);
  void release(Holding& holding);
  void clear();  // nobody may hold anything
  // Keeps `blocks` out of use; may leave too little room (overdrawn) until sequences are released.
  void set_reserved(std::uint64_t blocks);

  std::uint64_t blocks_of(const Holding& holding) const {
    return holding.own_blocks + std::uint64_t(holding.chunks.size()) * blocks_per_chunk_;
  }
  std::uint64_t total() const { return total_; }
  std::uint64_t held() const { return held_; }
  std::uint64_t cached() const { return idle_ * blocks_per_chunk_; }
  // Blocks that can be had, by eviction if need be.
  std::uint64_t available() const { return overdrawn() ? 0 : total_ - reserved_ - held_; }
  bool overdrawn() const { return held_ + reserved_ > total_; }
  std::uint64_t evicted() const { return evicted_; }

 private:
  struct Chunk {
    BlockHash hash = 0;
    std::uint32_t holders = 0;
    ChunkIndex before = kNone, after = kNone;  // in the list of idle chunks
  };
  static constexpr ChunkIndex kNone = 0xffffffff;

  bool make_room(std::uint64_t blocks);
  void link_youngest(ChunkIndex index);
  void unlink(ChunkIndex index);

  std::uint64_t total_, reserved_ = 0, held_ = 0, idle_ = 0, evicted_ = 0;
  std::uint32_t blocks_per_chunk_;
  bool sharing_;
  std::vector<Chunk> chunks_;
  std::vector<ChunkIndex> free_;
  std::unordered_map<BlockHash, ChunkIndex> by_hash_;
  ChunkIndex oldest_ = kNone, youngest_ = kNone;
};

}  // namespace qanat::pool
