#include "gateway/pool/tune/tune_files.hh"

#include <algorithm>

#include "base/clock.hh"

namespace qanat::pool {
namespace {

// SplitMix64 from (seed, step).
std::string drawn(std::uint64_t seed, std::uint64_t step, std::uint64_t size) {
  std::string bytes(size, '\0');
  std::uint64_t state = seed * 0x9e3779b97f4a7c15 + step;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    for (std::size_t b = 0; b < 8 && i + b < bytes.size(); ++b)
      bytes[i + b] = static_cast<char>(z >> (8 * b));
  }
  return bytes;
}

}  // namespace

std::uint64_t TuneFiles::checkpoint_bytes(const TunePlan& plan) {
  constexpr double kBytesPerWeight = 2, kMost = 256e6;  // bf16
  return static_cast<std::uint64_t>(std::clamp(plan.trainable() * kBytesPerWeight / kScale, 4096.0, kMost));
}

boost::asio::awaitable<jobs::Result<void>> TuneFiles::admit(const base::Headers& headers, TuneInput input,
                                                            std::string& contract) {
  if (const auto ticket = site_.admit(headers, "use", input.dataset); !ticket) co_return ticket.error();
  std::vector<jobs::Digest> needed;
  for (const std::string& name : {input.dataset, input.base, input.checkpoint}) {
    if (name.empty()) continue;
    const auto digest = jobs::parse_digest(name);
    if (!digest) co_return jobs::Errc::NoSuchArtefact;
    needed.push_back(*digest);
  }
  std::optional<jobs::Contract> shown;
  if (const std::string* header = headers.find("x-qanat-contract"); header && !header->empty()) {
    const auto parsed = site_.contract_of(*header);
    if (!parsed) co_return parsed.error();
    if (parsed->artefact != needed.front()) co_return jobs::Errc::BadContract;
    shown = *parsed;
    contract = parsed->id;
  }
  jobs::Use use;
  use.user = input.user;
  use.pool = site_.config().name;
  use.site = site_.config().site;
  use.purpose = "finetune";
  use.unix_ms = static_cast<std::int64_t>(base::unix_now_ms());
  const auto work = [needed, shown, use, name = input.use](jobs::Shelf& shelf) -> jobs::Result<void> {
    for (const jobs::Digest& one : needed)
      if (!shelf.chunks.complete(one)) return jobs::Errc::ChunksMissing;
    if (shown) return shelf.book.use(*shown, use, name);
    return {};
  };
  co_return co_await site_.thread().run(work);
}

boost::asio::awaitable<jobs::Result<std::string>> TuneFiles::write_checkpoint(TunePlan plan,
                                                                              std::uint64_t step) {
  const auto work = [plan, step](jobs::Shelf& shelf) -> jobs::Result<std::string> {
    const std::string bytes = drawn(plan.seed, step, checkpoint_bytes(plan));
    const jobs::Manifest manifest = jobs::manifest_of(bytes);
    const jobs::Digest id = jobs::artefact_id(manifest);
    const auto missing = shelf.chunks.begin(id, manifest);
    if (!missing) return missing.error();
    for (const std::size_t n : *missing)
      if (const auto put = shelf.chunks.put(
              id, n, std::string_view(bytes).substr(n * manifest.chunk_bytes, manifest.bytes_of(n)));
          !put)
        return put.error();
    return to_string(id);
  };
  co_return co_await site_.thread().run(work);
}

}  // namespace qanat::pool
