#include "gateway/jobs/artefact/manifest.hh"

#include <algorithm>
#include <charconv>

namespace qanat::jobs {
namespace {

constexpr std::string_view kManifestMagic = "qanat-manifest-1\n";

// The number on the next line, without leading zeros; false when there is none.
bool take_number(std::string_view& text, std::uint64_t& into) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || end == 0 || (text[0] == '0' && end > 1)) return false;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + end, into);
  if (error != std::errc{} || stop != text.data() + end) return false;
  text.remove_prefix(end + 1);
  return true;
}

}  // namespace

std::uint64_t Manifest::bytes_of(std::size_t chunk) const {
  const std::uint64_t begin = chunk * chunk_bytes;
  return begin >= size ? 0 : std::min(chunk_bytes, size - begin);
}

std::string serialize(const Manifest& manifest) {
  std::string text(kManifestMagic);
  text += std::to_string(manifest.size) + "\n" + std::to_string(manifest.chunk_bytes) + "\n";
  for (const Digest& chunk : manifest.chunks) text += to_string(chunk) + "\n";
  return text;
}

Result<Manifest> parse_manifest(std::string_view text) noexcept {
  if (!text.starts_with(kManifestMagic) || text.size() > kMaxManifestBytes) return Errc::BadManifest;
  text.remove_prefix(kManifestMagic.size());
  Manifest manifest;
  if (!take_number(text, manifest.size) || !take_number(text, manifest.chunk_bytes)) return Errc::BadManifest;
  if (manifest.size > kMaxArtefactBytes || manifest.chunk_bytes == 0 || manifest.chunk_bytes > kChunkBytes)
    return Errc::BadManifest;
  const std::uint64_t count = (manifest.size + manifest.chunk_bytes - 1) / manifest.chunk_bytes;
  if (text.size() != count * 65) return Errc::BadManifest;
  manifest.chunks.reserve(count);
  for (; !text.empty(); text.remove_prefix(65)) {
    const auto digest = parse_digest(text.substr(0, 64));
    if (!digest || text[64] != '\n') return Errc::BadManifest;
    manifest.chunks.push_back(*digest);
  }
  return manifest;
}

Digest artefact_id(const Manifest& manifest) { return sha256(serialize(manifest)); }

Manifest manifest_of(std::string_view bytes) {
  Manifest manifest;
  manifest.size = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += kChunkBytes)
    manifest.chunks.push_back(sha256(bytes.substr(at, kChunkBytes)));
  return manifest;
}

}  // namespace qanat::jobs
