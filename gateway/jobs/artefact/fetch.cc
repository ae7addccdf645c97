#include "gateway/jobs/artefact/fetch.hh"

#include <nlohmann/json.hpp>

#include "base/http_client.hh"
#include "gateway/jobs/artefact/manifest.hh"
#include "gateway/jobs/artefact/ticket.hh"

namespace qanat::jobs {

using boost::asio::awaitable;
using nlohmann::json;

Errc refusal_of(const base::ClientResponse& answer) {
  const json body = json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("error") && body["error"].is_object()) {
    const std::string said = body["error"].value("code", "");
    for (int i = 1; i <= static_cast<int>(Errc::BudgetExceeded); ++i)
      if (code(static_cast<Errc>(i)) == said) return static_cast<Errc>(i);
  }
  return Errc::NoRoute;
}

awaitable<Result<void>> fetch(base::HttpClient& client, StoreThread& store, std::string origin,
                              TicketFor ticket, Digest id) {
  const std::string path = "/qanat/v1/store/" + to_string(id);
  const auto get = [&](const std::string& target) {
    base::ClientRequest request;
    request.method = "GET";
    request.target = target;
    request.headers.add(std::string(kTicketHeader), ticket());
    return request;
  };
  const auto known = [id](Shelf& shelf) { return shelf.chunks.complete(id); };
  if (co_await store.run(known)) co_return Result<void>();
  const auto answer = co_await client.fetch(origin, get(path));
  if (!answer) co_return answer.error();
  if (answer->status != 200) co_return refusal_of(*answer);
  const auto manifest = parse_manifest(answer->body);
  if (!manifest) co_return manifest.error();
  const auto begin = [id, manifest = *manifest](Shelf& shelf) { return shelf.chunks.begin(id, manifest); };
  const auto missing = co_await store.run(begin);
  if (!missing) co_return missing.error();
  for (const std::size_t n : *missing) {
    auto got = co_await client.fetch(origin, get(path + "/" + std::to_string(n)));
    if (!got) co_return got.error();
    if (got->status != 200) co_return refusal_of(*got);
    const auto put = [id, n, bytes = std::move(got->body)](Shelf& shelf) {
      return shelf.chunks.put(id, n, bytes);
    };
    const auto kept = co_await store.run(put);
    if (!kept) co_return kept.error();
  }
  co_return Result<void>();
}

}  // namespace qanat::jobs
