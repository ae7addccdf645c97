#include "gateway/pool/serve/model_versions.hh"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.hh"

namespace qanat::pool {

using nlohmann::json;

ModelVersions::ModelVersions(jobs::SiteStore& site)
    : site_(site), file_(site.config().folder + "/models.json") {
  try {
    const json kept = json::parse(base::read_file(file_), nullptr, false);
    if (kept.is_object())
      for (const auto& [name, base] : kept.items())
        if (base.is_string()) bases_[name] = base.get<std::string>();
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::no_such_file_or_directory) throw;
  }
}

void ModelVersions::add_routes(base::HttpServer& server, std::function<bool(const std::string&)> serves,
                               std::shared_ptr<void> owner) {
  serves_ = std::move(serves);
  server.route("PUT", "/qanat/v1/models/{name}",
               [this, owner](base::Request& in, base::Responder& out) { return put(owner, in, out); });
}

boost::asio::awaitable<void> ModelVersions::put(std::shared_ptr<void>, base::Request& in,
                                                base::Responder& out) {
  const std::string name(in.capture("name"));
  if (const auto ticket = site_.admit(in.headers, "register", name); !ticket)
    co_return co_await jobs::refuse(out, jobs::errc_of(ticket.error()));
  const json asked = json::parse(in.body, nullptr, false);
  const std::string base = asked.is_object() ? asked.value("base", "") : "";
  const auto artefact = jobs::parse_digest(asked.is_object() ? asked.value("artefact", "") : "");
  const bool good =
      !name.empty() && name.size() <= 63 && name.find("..") == std::string::npos && name.front() != '.' &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
      });
  if (!good || !artefact)
    co_return void(
        co_await out.error(400, "invalid_value", "a name as in C-URLs, its base and its artefact's digest"));
  if (!serves_(base))
    co_return void(co_await out.error(404, "model_not_found", "no model " + base + " here"));
  const auto look = [id = *artefact](jobs::Shelf& shelf) { return shelf.chunks.complete(id); };
  if (!co_await site_.thread().run(look)) co_return co_await jobs::refuse(out, jobs::Errc::ChunksMissing);
  bases_[name] = base;
  const std::string text = json(bases_).dump();
  const auto keep = [text, file = file_](jobs::Shelf&) {
    base::write_file(file, text);
    return true;
  };
  co_await site_.thread().run(keep);
  co_await out.json(200, "{}");
}

std::string_view ModelVersions::base_of(std::string_view name) const {
  const auto found = bases_.find(name);
  return found == bases_.end() ? name : std::string_view(found->second);
}

void ModelVersions::describe(descriptor::Descriptor& d) const {
  for (const auto& [name, base] : bases_) {
    if (d.find_model(name) == nullptr && d.find_model(base) != nullptr &&
        d.models.size() < descriptor::kMaxModels) {
      descriptor::ServedModel model = *d.find_model(base);
      model.name = name;
      d.models.push_back(std::move(model));
    }
    if (const auto* engine = d.find_engine(base); engine && d.state.engines.size() < descriptor::kMaxModels) {
      descriptor::EngineState same = *engine;
      same.model = name;
      d.state.engines.push_back(std::move(same));
    }
  }
}

}  // namespace qanat::pool
