// Manifest: what an artefact is made of: its size and its chunks by digest, in order. An artefact's name is the digest of
// its manifest's text, so equal content has one name everywhere, and whoever has the manifest can ask for what is missing.
//
// Text, ASCII, LF:  "qanat-manifest-1\n" SIZE "\n" CHUNK_BYTES "\n" then one digest a line, ceil(SIZE / CHUNK_BYTES) of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/artefact/digest.hh"
#include "gateway/jobs/errc.hh"

namespace qanat::jobs {

inline constexpr std::uint64_t kChunkBytes = 4 * 1024 * 1024;
inline constexpr std::uint64_t kMaxArtefactBytes = std::uint64_t{1} << 40;
inline constexpr std::size_t kMaxManifestBytes = 20 * 1024 * 1024;  // text of kMaxArtefactBytes

struct Manifest {
  std::uint64_t size = 0;  // bytes
  std::uint64_t chunk_bytes = kChunkBytes;
  std::vector<Digest> chunks;

  // Of one chunk; the last may be shorter.
  std::uint64_t bytes_of(std::size_t chunk) const;
  bool operator==(const Manifest&) const = default;
};

std::string serialize(const Manifest& manifest);
// Total on any bytes; refuses what serialize() would not have written.
Result<Manifest> parse_manifest(std::string_view text) noexcept;
Digest artefact_id(const Manifest& manifest);
// Cuts bytes that are at hand; a file is cut by its reader, chunk by chunk.
Manifest manifest_of(std::string_view bytes);

}  // namespace qanat::jobs
