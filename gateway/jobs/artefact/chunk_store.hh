// ChunkStore: artefacts on this site's disk, each chunk once, however many artefacts hold it. What is there survives a
// crash at any instant: a chunk is written beside, synced, renamed; what its digest does not confirm is never kept.
//
// FOLDER/chunks/ab/ab… (64 digits)   FOLDER/artefacts/DIGEST (manifests)
// Blocking; one thread at a time (store_thread.hh gives it one).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/artefact/manifest.hh"

namespace qanat::jobs {

class ChunkStore {
 public:
  // Makes the folder, reads what is there. Throws std::system_error naming the path.
  ChunkStore(std::string folder, std::uint64_t quota_bytes);

  // The artefact is known from now on, and its missing chunks may come: their numbers. QuotaExceeded counts the whole.
  Result<std::vector<std::size_t>> begin(const Digest& id, const Manifest& manifest);
  // One chunk. BadDigest: it is not what the manifest says. Durable on return; again is the same.
  Result<void> put(const Digest& id, std::size_t chunk, std::string_view bytes);
  // ChunksMissing when it has not come yet.
  Result<std::string> get(const Digest& id, std::size_t chunk) const;
  Result<std::vector<std::size_t>> missing(const Digest& id) const;
  Result<Manifest> manifest(const Digest& id) const;
  bool complete(const Digest& id) const;
  Result<std::uint64_t> missing_bytes(const Digest& id) const;
  // Bytes that nobody else's chunks held are free again: their number.
  Result<std::uint64_t> remove(const Digest& id);

  struct Entry {
    Digest id;
    std::uint64_t bytes = 0, missing = 0;  // missing: chunks
  };
  std::vector<Entry> list() const;
  std::uint64_t used() const { return used_; }  // bytes of all chunks that are known, there or to come
  std::uint64_t quota() const { return quota_; }

 private:
  struct Held {
    std::uint32_t artefacts = 0;  // that name it, each once
    std::uint64_t bytes = 0;
    bool here = false;
  };
  std::string chunk_path(const Digest& chunk) const;
  void hold(const Manifest& manifest);

  std::string folder_;
  std::uint64_t quota_, used_ = 0;
  std::map<Digest, Manifest> artefacts_;
  std::map<Digest, Held> chunks_;
};

}  // namespace qanat::jobs
