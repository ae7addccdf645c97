#include "gateway/jobs/artefact/chunk_store.hh"

#include <filesystem>
#include <set>
#include <system_error>

#include "base/file.hh"
#include "base/log.hh"

namespace qanat::jobs {
namespace fs = std::filesystem;
namespace {

std::set<Digest> distinct(const Manifest& manifest) {
  return {manifest.chunks.begin(), manifest.chunks.end()};
}

}  // namespace

ChunkStore::ChunkStore(std::string folder, std::uint64_t quota_bytes)
    : folder_(std::move(folder)), quota_(quota_bytes) {
  fs::create_directories(folder_ + "/chunks");
  fs::create_directories(folder_ + "/artefacts");
  for (const auto& entry : fs::directory_iterator(folder_ + "/artefacts")) {
    const auto id = parse_digest(entry.path().filename().string());
    if (!id) continue;
    const auto manifest = parse_manifest(base::read_file(entry.path().string(), kMaxManifestBytes));
    if (!manifest || artefact_id(*manifest) != *id) {
      base::log_error("{} is not the manifest that its name says; left alone", entry.path().string());
      continue;
    }
    hold(*manifest);
    artefacts_.emplace(*id, *manifest);
  }
}

std::string ChunkStore::chunk_path(const Digest& chunk) const {
  const std::string name = to_string(chunk);
  return folder_ + "/chunks/" + name.substr(0, 2) + "/" + name;
}

void ChunkStore::hold(const Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.chunks.size(); ++i) {
    Held& held = chunks_[manifest.chunks[i]];
    if (held.artefacts != 0 || held.bytes != 0) continue;
    held.bytes = manifest.bytes_of(i);
    std::error_code absent;
    held.here = fs::file_size(chunk_path(manifest.chunks[i]), absent) == held.bytes && !absent;
    used_ += held.bytes;
  }
  for (const Digest& chunk : distinct(manifest)) ++chunks_[chunk].artefacts;
}

Result<std::vector<std::size_t>> ChunkStore::begin(const Digest& id, const Manifest& manifest) {
  if (artefact_id(manifest) != id) return Errc::BadManifest;
  if (artefacts_.find(id) == artefacts_.end()) {
    std::uint64_t more = 0;
    std::set<Digest> counted;
    for (std::size_t i = 0; i < manifest.chunks.size(); ++i)
      if (chunks_.find(manifest.chunks[i]) == chunks_.end() && counted.insert(manifest.chunks[i]).second)
        more += manifest.bytes_of(i);
    if (used_ + more > quota_) return Errc::QuotaExceeded;
    base::write_file(folder_ + "/artefacts/" + to_string(id), serialize(manifest));
    hold(manifest);
    artefacts_.emplace(id, manifest);
  }
  return missing(id);
}

Result<void> ChunkStore::put(const Digest& id, std::size_t chunk, std::string_view bytes) {
  const auto found = artefacts_.find(id);
  if (found == artefacts_.end() || chunk >= found->second.chunks.size()) return Errc::NoSuchArtefact;
  const Digest& digest = found->second.chunks[chunk];
  Held& held = chunks_[digest];
  if (held.here) return {};
  if (bytes.size() != held.bytes || sha256(bytes) != digest) return Errc::BadDigest;
  const std::string path = chunk_path(digest);
  fs::create_directories(fs::path(path).parent_path());
  base::write_file(path, bytes);
  held.here = true;
  return {};
}

Result<std::string> ChunkStore::get(const Digest& id, std::size_t chunk) const {
  const auto found = artefacts_.find(id);
  if (found == artefacts_.end() || chunk >= found->second.chunks.size()) return Errc::NoSuchArtefact;
  const Digest& digest = found->second.chunks[chunk];
  const Held& held = chunks_.at(digest);
  if (!held.here) return Errc::ChunksMissing;
  std::string bytes = base::read_file(chunk_path(digest), kChunkBytes);
  if (sha256(bytes) != digest) return Errc::BadDigest;  // the disk's doing: whoever asks must ask elsewhere
  return bytes;
}

Result<std::vector<std::size_t>> ChunkStore::missing(const Digest& id) const {
  const auto found = artefacts_.find(id);
  if (found == artefacts_.end()) return Errc::NoSuchArtefact;
  std::vector<std::size_t> list;
  std::set<Digest> named;
  const auto& chunks = found->second.chunks;
  for (std::size_t i = 0; i < chunks.size(); ++i)
    if (!chunks_.at(chunks[i]).here && named.insert(chunks[i]).second) list.push_back(i);
  return list;
}

Result<Manifest> ChunkStore::manifest(const Digest& id) const {
  const auto found = artefacts_.find(id);
  if (found == artefacts_.end()) return Errc::NoSuchArtefact;
  return found->second;
}

bool ChunkStore::complete(const Digest& id) const {
  const auto list = missing(id);
  return list && list->empty();
}

Result<std::uint64_t> ChunkStore::missing_bytes(const Digest& id) const {
  const auto list = missing(id);
  if (!list) return list.error();
  std::uint64_t bytes = 0;
  for (const std::size_t chunk : *list) bytes += artefacts_.at(id).bytes_of(chunk);
  return bytes;
}

Result<std::uint64_t> ChunkStore::remove(const Digest& id) {
  const auto found = artefacts_.find(id);
  if (found == artefacts_.end()) return Errc::NoSuchArtefact;
  // The manifest last: what a crash leaves is deleted again, and no chunk stays without a name.
  std::uint64_t freed = 0;
  for (const Digest& chunk : distinct(found->second)) {
    Held& held = chunks_.at(chunk);
    if (held.artefacts > 1) continue;
    std::error_code gone;
    fs::remove(chunk_path(chunk), gone);
    freed += held.bytes;
  }
  fs::remove(folder_ + "/artefacts/" + to_string(id));
  for (const Digest& chunk : distinct(found->second))
    if (--chunks_.at(chunk).artefacts == 0) chunks_.erase(chunk);
  used_ -= freed;
  artefacts_.erase(found);
  return freed;
}

std::vector<ChunkStore::Entry> ChunkStore::list() const {
  std::vector<Entry> entries;
  for (const auto& [id, manifest] : artefacts_) entries.push_back({id, manifest.size, missing(id)->size()});
  return entries;
}

}  // namespace qanat::jobs
