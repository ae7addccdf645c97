#include "gateway/jobs/files_service.hh"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "gateway/jobs/artefact/multipart.hh"
#include "gateway/jobs/page.hh"

namespace qanat::jobs {

using boost::asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxBody =
    64 * 1024 * 1024 + 64 * 1024;  // an upload's part, as OpenAI has it, and its form
constexpr std::size_t kMaxParts = 1024;

awaitable<void> bad(base::Responder& out, std::string message) {
  co_await out.error(400, "invalid_value", message);
}
awaitable<void> no_file(base::Responder& out) {
  co_await out.error(404, "not_found", "no such file", "GET /v1/files lists them");
}

File new_file(const Caller& caller, std::string name, std::string purpose) {
  File f;
  f.id = fresh_id("file-");
  f.tenant = caller.tenant;
  f.name = std::move(name);
  f.purpose = std::move(purpose);
  f.created_unix_ms = unix_ms();
  return f;
}

Result<std::uint64_t> store_whole(ChunkStore& store, const Manifest& manifest, std::string_view bytes) {
  const Digest id = artefact_id(manifest);
  const auto missing = store.begin(id, manifest);
  if (!missing) return missing.error();
  for (const std::size_t n : *missing)
    if (const auto put = store.put(id, n, bytes.substr(n * manifest.chunk_bytes, manifest.bytes_of(n))); !put)
      return put.error();
  return manifest.size;
}

// One artefact of several, one after another; their chunks stay what they are where they fall on whole chunks.
Result<Digest> joined(ChunkStore& store, const std::vector<Digest>& parts) {
  // Twice over the parts: the manifest must be known before its chunks may come.
  Manifest manifest;
  for (const bool keep : {false, true}) {
    std::string open;
    std::size_t next = 0;
    const Digest id = keep ? artefact_id(manifest) : Digest{};
    const auto close = [&]() -> Result<void> {
      if (!keep) manifest.chunks.push_back(sha256(open));
      const Result<void> put = keep ? store.put(id, next, open) : Result<void>();
      ++next;
      open.clear();
      return put;
    };
    if (keep)
      if (const auto begun = store.begin(id, manifest); !begun) return begun.error();
    for (const Digest& part : parts) {
      const auto of = store.manifest(part);
      if (!of) return of.error();
      if (!keep) manifest.size += of->size;
      for (std::size_t n = 0; n < of->chunks.size(); ++n) {
        const auto bytes = store.get(part, n);
        if (!bytes) return bytes.error();
        for (std::string_view rest = *bytes; !rest.empty();) {
          const std::size_t take = std::min<std::size_t>(rest.size(), kChunkBytes - open.size());
          open += rest.substr(0, take);
          rest.remove_prefix(take);
          if (open.size() < kChunkBytes) continue;
          if (const auto closed = close(); !closed) return closed.error();
        }
      }
    }
    if (!open.empty())
      if (const auto closed = close(); !closed) return closed.error();
  }
  return artefact_id(manifest);
}

}  // namespace

awaitable<Result<Digest>> keep(Desk& desk, std::string bytes) {
  const auto work = [bytes = std::move(bytes)](Shelf& shelf) -> Result<Digest> {
    const Manifest manifest = manifest_of(bytes);
    const auto stored = store_whole(shelf.chunks, manifest, bytes);
    if (!stored) return stored.error();
    return artefact_id(manifest);
  };
  co_return co_await desk.store.thread().run(work);
}

// The bytes go with the last name that anybody has for them.
awaitable<void> drop_unnamed(Desk& desk, Digest id) {
  for (const Document& d : co_await desk.list("file", ""))
    if (json::parse(d.body, nullptr, false).value("artefact", "") == to_string(id)) co_return;
  const auto drop = [id](Shelf& shelf) { return shelf.chunks.remove(id).has_value(); };
  co_await desk.store.thread().run(drop);
}

struct FilesService::Routes {
  using Self = std::shared_ptr<FilesService>;

  static awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto form = parse_form(in.headers.value_or("content-type", ""), in.body);
    if (!form) co_return co_await refuse(out, Errc::BadMultipart);
    File file = new_file(caller, {}, {});
    std::optional<std::string_view> content;
    for (const FormPart& part : *form) {
      if (part.name == "purpose") file.purpose = part.content;
      if (part.name == "file") {
        content = part.content;
        file.name = part.file_name.empty() ? "file" : part.file_name;
      }
    }
    if (!content) co_return co_await bad(out, "the form has no part 'file'");
    if (file.purpose.empty()) co_return co_await bad(out, "the form has no part 'purpose'");
    file.bytes = content->size();
    const auto id = co_await keep(self->desk_, std::string(*content));
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    file.artefact = *id;
    file.status = "processed";
    co_await self->desk_.save_file(file);
    co_await out.json(200, to_file_json(file));
  }

  static awaitable<void> list(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto purpose = in.parameter("purpose");
    ordered_json data = ordered_json::array();
    for (const Document& d : co_await self->desk_.list("file", caller.tenant)) {
      ordered_json file = ordered_json::parse(d.body, nullptr, false);
      if (file.is_object() && (!purpose || file.value("purpose", "") == *purpose))
        data.push_back(std::move(file));
    }
    co_await send_page(in, out, std::move(data), {.usual = 10'000, .most = 10'000});
  }

  static awaitable<std::optional<File>> own(Self self, Caller caller, std::string id) {
    auto file = co_await self->desk_.find_file(id, caller.tenant);
    if (file && file->tenant != caller.tenant) file.reset();
    co_return file;
  }

  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto file = co_await own(self, caller, std::string(in.capture("id")));
    if (!file) co_return co_await no_file(out);
    co_await out.json(200, to_file_json(*file));
  }

  static awaitable<void> content(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto file = co_await own(self, caller, std::string(in.capture("id")));
    if (!file) co_return co_await no_file(out);
    const auto count = [id = file->artefact](Shelf& shelf) {
      const auto manifest = shelf.chunks.manifest(id);
      return manifest && shelf.chunks.complete(id) ? std::optional(manifest->chunks.size()) : std::nullopt;
    };
    const auto chunks = co_await self->desk_.store.thread().run(count);
    if (!chunks) co_return co_await refuse(out, Errc::ChunksMissing);
    co_await out.begin_stream(200, "application/octet-stream");
    for (std::size_t n = 0; n < *chunks; ++n) {
      const auto read = [id = file->artefact, n](Shelf& shelf) { return shelf.chunks.get(id, n); };
      const auto bytes = co_await self->desk_.store.thread().run(read);
      if (!bytes) co_return out.abort();
      if (!co_await out.write(*bytes)) co_return;
    }
    co_await out.finish();
  }

  static awaitable<void> remove(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto file = co_await own(self, caller, std::string(in.capture("id")));
    if (!file) co_return co_await no_file(out);
    co_await self->desk_.erase("file", file->id);
    co_await drop_unnamed(self->desk_, file->artefact);
    const ordered_json body{{"id", file->id}, {"object", "file"}, {"deleted", true}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> begin(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto manifest = parse_manifest(in.body);
    if (!manifest) co_return co_await refuse(out, Errc::BadManifest);
    const Digest id = artefact_id(*manifest);
    const auto work = [id, manifest = *manifest](Shelf& shelf) { return shelf.chunks.begin(id, manifest); };
    const auto missing = co_await self->desk_.store.thread().run(work);
    if (!missing) co_return co_await refuse(out, errc_of(missing.error()));
    const std::string name = in.parameter("name").value_or(to_string(id));
    auto file = co_await self->desk_.find_file(name, caller.tenant);
    if (!file || file->tenant != caller.tenant || file->artefact != id) {
      file = new_file(caller, name, in.parameter("purpose").value_or("dataset"));
      file->artefact = id;
      file->bytes = manifest->size;
    }
    file->status = missing->empty() ? "processed" : "uploading";
    co_await self->desk_.save_file(*file);
    ordered_json body = ordered_json::parse(to_file_json(*file));
    body["missing"] = *missing;
    co_await out.json(200, body.dump());
  }

  static awaitable<void> chunk(Self self, Caller caller, base::Request& in, base::Responder& out) {
    auto file = co_await own(self, caller, std::string(in.capture("id")));
    const std::string_view text = in.capture("number");
    std::size_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (!file || error != std::errc{} || end != text.data() + text.size()) co_return co_await no_file(out);
    const auto put = [id = file->artefact, n, &bytes = in.body](Shelf& shelf) {
      const auto done = shelf.chunks.put(id, n, bytes);
      return std::pair(done, shelf.chunks.complete(id));
    };
    const auto [done, complete] = co_await self->desk_.store.thread().run(put);
    if (!done) co_return co_await refuse(out, errc_of(done.error()));
    if (complete && file->status != "processed") {
      file->status = "processed";
      co_await self->desk_.save_file(*file);
    }
    co_await out.json(200, to_file_json(*file));
  }

  static ordered_json upload_json(const json& u, const std::string& id, std::int64_t created_ms) {
    return {{"id", id},
            {"object", "upload"},
            {"bytes", u.value("bytes", 0ULL)},
            {"created_at", created_ms / 1000},
            {"expires_at", created_ms / 1000 + 3600},
            {"filename", u.value("filename", "")},
            {"purpose", u.value("purpose", "")},
            {"status", u.value("status", "")}};
  }

  static awaitable<void> open_upload(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const json asked = json::parse(in.body, nullptr, false);
    const auto has = [&](const char* key, bool number) {
      return asked.is_object() && asked.contains(key) &&
             (number ? asked[key].is_number_unsigned() : asked[key].is_string());
    };
    if (!has("filename", false) || !has("purpose", false) || !has("bytes", true))
      co_return co_await bad(out, "'filename', 'purpose' and 'bytes' are required");
    Document d;
    d.id = fresh_id("upload_");
    d.tenant = caller.tenant;
    d.created_unix_ms = unix_ms();
    const json kept{{"filename", asked["filename"]},
                    {"purpose", asked["purpose"]},
                    {"bytes", asked["bytes"]},
                    {"status", "pending"},
                    {"parts", json::object()}};
    d.body = kept.dump();
    const std::string answer = upload_json(kept, d.id, d.created_unix_ms).dump();
    co_await self->desk_.save("upload", std::move(d));
    co_await out.json(200, answer);
  }

  static awaitable<void> upload(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string verb(in.capture("verb"));
    auto d = co_await self->desk_.load("upload", std::string(in.capture("id")));
    if (!d || d->tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such upload"));
    json u = json::parse(d->body);
    if (u["status"] != "pending") co_return co_await bad(out, "the upload is " + u.value("status", ""));
    ordered_json answer;
    if (verb == "parts") {
      const auto form = parse_form(in.headers.value_or("content-type", ""), in.body);
      const auto data =
          form ? std::find_if(form->begin(), form->end(), [](const auto& p) { return p.name == "data"; })
               : std::vector<FormPart>::const_iterator{};
      if (!form || data == form->end()) co_return co_await refuse(out, Errc::BadMultipart, "no part 'data'");
      if (u["parts"].size() == kMaxParts) co_return co_await bad(out, "too many parts");
      const auto id = co_await keep(self->desk_, std::string(data->content));
      if (!id) co_return co_await refuse(out, errc_of(id.error()));
      const std::string part = fresh_id("part_");
      // Another part may have come meanwhile.
      if (auto now = co_await self->desk_.load("upload", d->id)) u = json::parse(now->body);
      u["parts"][part] = to_string(*id);
      answer = {
          {"id", part}, {"object", "upload.part"}, {"created_at", unix_ms() / 1000}, {"upload_id", d->id}};
    } else if (verb == "complete") {
      const json asked = json::parse(in.body, nullptr, false);
      std::vector<Digest> parts;
      if (asked.is_object() && asked.contains("part_ids") && asked["part_ids"].is_array())
        for (const json& part : asked["part_ids"])
          if (const auto digest =
                  parse_digest(u["parts"].value(part.is_string() ? part.get<std::string>() : "", "")))
            parts.push_back(*digest);
      if (parts.empty() || parts.size() != asked["part_ids"].size())
        co_return co_await bad(out, "'part_ids' must name parts of this upload, in order");
      const auto join = [parts](Shelf& shelf) {
        const auto id = joined(shelf.chunks, parts);
        return std::pair(id, id ? shelf.chunks.manifest(*id)->size : 0);
      };
      const auto [id, size] = co_await self->desk_.store.thread().run(join);
      if (!id) co_return co_await refuse(out, errc_of(id.error()));
      if (size != u["bytes"].get<std::uint64_t>())
        co_return co_await bad(
            out, "the parts have " + std::to_string(size) + " bytes, not as many as were announced");
      File file = new_file(caller, u.value("filename", ""), u.value("purpose", ""));
      file.artefact = *id;
      file.bytes = size;
      file.status = "processed";
      co_await self->desk_.save_file(file);
      u["status"] = "completed";
      answer = upload_json(u, d->id, d->created_unix_ms);
      answer["file"] = ordered_json::parse(to_file_json(file));
    } else if (verb == "cancel") {
      u["status"] = "cancelled";
      answer = upload_json(u, d->id, d->created_unix_ms);
    } else {
      co_return void(co_await out.error(404, "not_found", "parts, complete or cancel"));
    }
    if (verb != "parts")
      for (const auto& [part, digest] : u["parts"].items())
        co_await drop_unnamed(self->desk_, *parse_digest(digest.get<std::string>()));
    d->body = u.dump();
    co_await self->desk_.save("upload", *d);
    co_await out.json(200, answer.dump());
  }
};

void FilesService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/v1/files", self, Routes::create, kMaxBody);
  route(server, desk_, "GET", "/v1/files", self, Routes::list);
  route(server, desk_, "GET", "/v1/files/{id}", self, Routes::get);
  route(server, desk_, "GET", "/v1/files/{id}/content", self, Routes::content);
  route(server, desk_, "DELETE", "/v1/files/{id}", self, Routes::remove);
  route(server, desk_, "POST", "/v1/uploads", self, Routes::open_upload);
  route(server, desk_, "POST", "/v1/uploads/{id}/{verb}", self, Routes::upload, kMaxBody);
  route(server, desk_, "POST", "/qanat/v1/artefacts", self, Routes::begin, kMaxManifestBytes);
  route(server, desk_, "PUT", "/qanat/v1/artefacts/{id}/{number}", self, Routes::chunk, kChunkBytes);
}

}  // namespace qanat::jobs
