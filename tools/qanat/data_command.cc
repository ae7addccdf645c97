#include "tools/qanat/data_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/config.hh"
#include "base/http_message.hh"
#include "gateway/jobs/artefact/manifest.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/places.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

struct Arguments {
  Options options;
  std::string first, second, by, name, site, priority = "normal", prefer = "time", model, suffix, until,
                                             data_class = "internal";
  std::vector<std::string> users, sites, purposes, pools;
  std::uint64_t uses = 0;
  bool cheapest = false, wait = false;
};

using Action = std::function<int()>;

// One noun's command line: its subcommands, each with what every one takes.
struct Noun {
  Noun(const char* name, const char* summary, const char* examples)
      : app(summary, std::string("qanat ") + name) {
    app.footer(examples);
  }
  CLI::App* command(const std::string& name, const std::string& summary, Action run) {
    CLI::App* sub = app.add_subcommand(name, summary);
    common(sub);
    sub->callback([this, run = std::move(run)] { action = run; });
    return sub;
  }
  void common(CLI::App* sub) {
    sub->add_flag("--json", a.options.json, "print JSON rather than text");
    sub->add_option("--lab", a.options.lab, "the lab to ask, where several run")->type_name("NAME");
    sub->add_option("--gateway", a.options.gateway, "a gateway's URL, instead of the lab's")
        ->envname("QANAT_GATEWAY")
        ->type_name("URL");
    sub->add_option("--key", a.options.key, "a tenant's key")->envname("QANAT_KEY")->type_name("KEY");
  }
  int run(int argc, char** argv) {
    try {
      app.parse(argc, argv);
      return action();
    } catch (const CLI::ParseError& e) {
      return app.exit(e) == 0 ? 0 : kWrongUsage;
    } catch (const CommandError& e) {
      fmt::print(stderr, "qanat: {}\n", e.what());
      if (!e.hint.empty()) fmt::print(stderr, "  {}\n", e.hint);
      return e.status;
    } catch (const std::exception& e) {
      fmt::print(stderr, "qanat: {}\n", e.what());
      return kFailed;
    }
  }
  CLI::App app;
  Arguments a;
  Action action;
};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// "18:00" today or else tomorrow, local time; or "+90m", so long from now.
std::int64_t time_of(const std::string& option, const std::string& text) {
  if (text.starts_with('+'))
    if (const auto in = base::parse_duration(text.substr(1))) return now_ms() + in->count() / 1'000'000;
  int hour = 0, minute = 0;
  char end = 0;
  if (std::sscanf(text.c_str(), "%2d:%2d%c", &hour, &minute, &end) != 2 || hour > 23 || minute > 59 ||
      hour < 0 || minute < 0)
    throw CommandError{kWrongUsage, option + ": \"" + text + "\" is not a time", "18:00, or +90m"};
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  localtime_r(&now, &tm);
  tm.tm_hour = hour;
  tm.tm_min = minute;
  tm.tm_sec = 0;
  std::time_t at = std::mktime(&tm);
  if (at <= now) {
    ++tm.tm_mday;
    tm.tm_isdst = -1;
    at = std::mktime(&tm);
  }
  return std::int64_t{at} * 1000;
}

std::string clock_text(const json& unix_ms) {
  if (!unix_ms.is_number()) return "-";
  const std::time_t at = unix_ms.get<std::int64_t>() / 1000;
  std::tm tm{};
  localtime_r(&at, &tm);
  return fmt::format("{:02}-{:02} {:02}:{:02}:{:02}", tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec);
}

std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return "-";
  return it->is_string() ? it->get<std::string>() : it->dump();
}
std::string size_text(const json& object, const char* key) { return bytes(object.value(key, 0.0)); }
std::string money(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return "-";
  const double nano = it->is_string() ? std::stod(it->get<std::string>()) : it->get<double>();
  return fmt::format("{:.9f}", nano * 1e-9);
}

int done(const Arguments& a, const json& answer, const std::string& said) {
  fmt::print("{}\n", a.options.json ? answer.dump(2) : said);
  return 0;
}
int shown(const Arguments& a, const json& answer, const Table& table, const char* none) {
  if (a.options.json) return done(a, answer, "");
  fmt::print("{}", table.empty() ? std::string(none) + "\n" : table.text(terminal_width()));
  return 0;
}

json call(const Arguments& a, const std::string& method, const std::string& target, const json& body = {}) {
  return ask(find_gateway(a.options), method, target, body.is_null() ? std::string() : body.dump());
}

// Until it is over; progress on a terminal.
int follow(const Arguments& a, const std::string& id) {
  for (;;) {
    const json t = call(a, "GET", "/qanat/v1/transfers/" + id);
    const bool over = text(t, "state") != "moving";
    if (!a.options.json)
      fmt::print(stderr, "\r{} of {}, {}/s, there {}   ", size_text(t, "bytes_moved"),
                 size_text(t, "bytes_to_move"), size_text(t, "bytes_s"),
                 clock_text(t.value(over ? "finished_unix_ms" : "predicted_unix_ms", json())));
    if (over) {
      if (!a.options.json) fmt::print(stderr, "\n");
      done(a, t, fmt::format("{}: {}, {} {}", id, text(t, "state"), money(t, "price_nano"), "CNY"));
      return text(t, "state") == "done" ? 0 : kFailed;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

int send(const Arguments& a) {
  if (a.cheapest == !a.by.empty())
    throw CommandError{kWrongUsage, "by when, or as cheaply as can be?", "--by 18:00, or --cheapest"};
  json body{{"dataset", a.first}, {"site", a.second}};
  if (!a.cheapest) body["by_unix_ms"] = time_of("--by", a.by);
  const json t = call(a, "POST", "/qanat/v1/transfers", body);
  if (a.wait) return follow(a, text(t, "id"));
  return done(a, t,
              fmt::format("{}: {} of {} to move, there {}, {} CNY, on {}", text(t, "id"),
                          size_text(t, "bytes_to_move"), size_text(t, "bytes"),
                          clock_text(t.value("predicted_unix_ms", json())), money(t, "quoted_nano"),
                          text(t, "tier")));
}

// Cut as it is read: twice over the file, never all of it in memory.
int put(const Arguments& a) {
  std::ifstream in(a.first, std::ios::binary);
  if (!in) throw CommandError{kNotFound, "cannot read " + a.first, "a file"};
  jobs::Manifest manifest;
  std::string chunk(jobs::kChunkBytes, '\0');
  const auto next = [&](std::uint64_t at) {
    in.clear();
    in.seekg(static_cast<std::streamoff>(at));
    in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    return std::string_view(chunk).substr(0, static_cast<std::size_t>(in.gcount()));
  };
  for (std::string_view part = next(0); !part.empty(); part = next(manifest.size)) {
    manifest.chunks.push_back(jobs::sha256(part));
    manifest.size += part.size();
  }
  const std::string name = a.name.empty() ? a.first.substr(a.first.rfind('/') + 1) : a.name;
  const Place gateway = find_gateway(a.options);
  const json file = ask(gateway, "POST",
                        "/qanat/v1/artefacts?name=" + base::percent_encode(name) +
                            "&purpose=" + base::percent_encode(a.model.empty() ? "dataset" : a.model),
                        serialize(manifest));
  json last = file;
  const json missing = file.value("missing", json::array());
  std::size_t sent = 0;
  for (const json& n : missing) {
    const auto number = n.get<std::size_t>();
    const std::string part(next(number * manifest.chunk_bytes));
    last =
        ask(gateway, "PUT", "/qanat/v1/artefacts/" + text(file, "id") + "/" + std::to_string(number), part);
    if (!a.options.json) fmt::print(stderr, "\r{} of {} chunks", ++sent, missing.size());
  }
  if (!a.options.json && sent > 0) fmt::print(stderr, "\n");
  return done(a, last,
              fmt::format("{}: {} as {}, {} of {} chunks sent, sha256 of its manifest {}", name,
                          bytes(double(manifest.size)), text(file, "id"), missing.size(),
                          manifest.chunks.size(), text(file, "artefact")));
}

int files(const Arguments& a) {
  const json list = call(a, "GET", "/v1/files");
  Table table{{"ID", "NAME", "PURPOSE", ">SIZE", "STATUS"}};
  for (const json& f : list.value("data", json::array()))
    table.row(
        {text(f, "id"), text(f, "filename"), text(f, "purpose"), size_text(f, "bytes"), text(f, "status")});
  return shown(a, list, table, "no files yet: qanat dataset put FILE");
}

int transfers(const Arguments& a) {
  const json list = call(a, "GET", "/qanat/v1/transfers");
  Table table{{"ID", "DATASET", "SITE", "STATE", ">MOVED", ">TO MOVE", "BY", "THERE", ">CNY"}};
  for (const json& t : list)
    table.row({text(t, "id"), text(t, "dataset"), text(t, "site"), text(t, "state"),
               size_text(t, "bytes_moved"), size_text(t, "bytes_to_move"),
               clock_text(t.value("by_unix_ms", json())),
               clock_text(t["finished_unix_ms"].is_null() ? t.value("predicted_unix_ms", json())
                                                          : t["finished_unix_ms"]),
               money(t, "price_nano")});
  return shown(a, list, table, "no transfers yet: qanat send DATASET SITE --by 18:00");
}

std::string job_text(const json& j) {
  const json own = j.value("x_qanat", json::object());
  std::string line = fmt::format("{}: {}, {} of {} steps ({} safe)", text(j, "id"), text(j, "status"),
                                 text(own, "step"), text(own, "steps"), text(own, "safe_step"));
  if (text(own, "pool") != "-") line += ", at " + text(own, "pool");
  if (text(j, "fine_tuned_model") != "-") line += "\nmodel    " + text(j, "fine_tuned_model");
  if (own.contains("before"))
    line += "\nloss     " + text(own["before"], "train_loss") + " before, " +
            text(own["after"], "train_loss") + " after";
  if (j.contains("error") && j["error"].is_object())
    line += "\nerror    " + text(j["error"], "code") + ": " + text(j["error"], "message");
  return line;
}

int create_job(const Arguments& a) {
  json body{{"model", a.first},
            {"training_file", a.second},
            {"x_qanat", {{"priority", a.priority}, {"prefer", a.prefer}}}};
  if (!a.suffix.empty()) body["suffix"] = a.suffix;
  if (!a.pools.empty()) body["x_qanat"]["pools"] = a.pools;
  const json j = call(a, "POST", "/v1/fine_tuning/jobs", body);
  return done(a, j, job_text(j));
}

int list_jobs(const Arguments& a) {
  const json list = call(a, "GET", "/v1/fine_tuning/jobs");
  Table table{{"ID", "MODEL", "STATUS", "PRIORITY", "POOL", ">STEP", ">OF", ">MOVES"}};
  for (const json& j : list.value("data", json::array())) {
    const json own = j.value("x_qanat", json::object());
    table.row({text(j, "id"), text(j, "model"), text(j, "status"), text(own, "priority"), text(own, "pool"),
               text(own, "step"), text(own, "steps"), text(own, "moves")});
  }
  return shown(a, list, table, "no fine-tunes yet: qanat job create MODEL DATASET");
}

int show_job(const Arguments& a) {
  const json j = call(a, "GET", "/v1/fine_tuning/jobs/" + a.first);
  if (a.options.json) return done(a, j, "");
  fmt::print("{}\n", job_text(j));
  const json events =
      call(a, "GET", "/v1/fine_tuning/jobs/" + a.first + "/events").value("data", json::array());
  for (std::size_t i = events.size(); i-- > 0;)
    if (text(events[i], "type") == "message")
      fmt::print("  {}  {}\n", clock_text(events[i].value("created_at", std::int64_t{0}) * 1000),
                 text(events[i], "message"));
  return 0;
}

int turn_job(const Arguments& a, const std::string& verb) {
  const json j = call(a, "POST", "/v1/fine_tuning/jobs/" + a.first + "/" + verb, json::object());
  return done(a, j, job_text(j));
}

int list_models(const Arguments& a) {
  const json all = call(a, "GET", "/qanat/v1/models");
  Table table{{"NAME OR VERSION", "LEADS TO", "BEFORE", ">GENERATION"}};
  for (const json& n : all.value("names", json::array()))
    table.row({text(n, "name"), text(n, "version"), text(n, "before"), text(n, "generation")});
  for (const json& v : all.value("versions", json::array()))
    table.row({text(v, "name"), "", text(v, "base"), ""});
  return shown(a, all, table, "no versions yet: a finished fine-tune is one");
}

int switch_model(const Arguments& a, const std::string& verb) {
  const json body = verb == "switch" ? json{{"version", a.second}} : json::object();
  const json said = call(a, "POST", "/qanat/v1/models/" + base::percent_encode(a.first) + "/" + verb, body);
  return done(a, said,
              fmt::format("{} is {} at {} gateways, {} ms", text(said, "name"), text(said, "version"),
                          said.value("gateways", json::array()).size(), text(said, "took_ms")));
}

int make_contract(const Arguments& a) {
  json body{{"artefact", a.first},    {"users", a.users}, {"sites", a.sites},
            {"purposes", a.purposes}, {"uses", a.uses},   {"class", a.data_class}};
  if (!a.until.empty()) body["expires_unix_ms"] = time_of("--until", a.until);
  const json c = call(a, "POST", "/qanat/v1/contracts", body);
  return done(
      a, c, fmt::format("{} on {}, signed by {}", text(c, "id"), text(c, "artefact"), text(c, "public_key")));
}

int list_contracts(const Arguments& a) {
  const json list = call(a, "GET", "/qanat/v1/contracts");
  Table table{{"ID", "OWNER", "USERS", "SITES", "FOR", ">USES", "UNTIL", "REVOKED"}};
  for (const json& c : list)
    table.row({text(c, "id"), text(c, "owner"), text(c, "users"), text(c, "sites"), text(c, "purposes"),
               text(c, "uses"),
               c.value("expires_unix_ms", std::int64_t{0}) == 0 ? "-" : clock_text(c["expires_unix_ms"]),
               text(c, "revoked")});
  return shown(a, list, table,
               "no contracts yet: qanat contract make ARTEFACT --user TENANT --site SITE --for finetune");
}

int revoke_contract(const Arguments& a) {
  const json c = call(a, "POST", "/qanat/v1/contracts/" + a.first + "/revoke", json::object());
  return done(a, c, fmt::format("{} is revoked; pools that know: {}", a.first, text(c, "pools_told")));
}

int report(const Arguments& a, const std::string& what) {
  const json r = call(a, "GET", "/qanat/v1/" + what + "/" + base::percent_encode(a.first) + "/report");
  if (a.options.json) return done(a, r, "");
  Table table{{">LEAF", "WHEN", "USER", "SITE", "PURPOSE", "ALLOWED", "CLAUSE", "USE"}};
  for (const json& use : r.value("uses", json::array()))
    table.row({text(use, "number"), clock_text(use["unix_ms"]), text(use, "user"), text(use, "site"),
               text(use, "purpose"), text(use, "allowed"), text(use, "clause"), text(use, "use")});
  fmt::print("{}{} allowed, {} refused; {} the audit tree of {} leaves, root {}\n",
             table.text(terminal_width()), text(r, "allowed"), text(r, "refused"),
             r.value("equals_audit_tree", false) ? "equals" : "DIFFERS FROM", text(r, "tree_size"),
             text(r, "tree_root"));
  return r.value("equals_audit_tree", false) ? 0 : kFailed;
}

int forget(const Arguments& a) {
  const json r = call(a, "DELETE", "/qanat/v1/artefacts/" + base::percent_encode(a.first) + "/copies");
  Table table{{"SITE", "SAYS"}};
  for (const json& site : r.value("sites", json::array()))
    table.row({text(site, "site"), site.contains("attestation") ? "deleted (its signed word, not a proof)"
                                                                : text(site, "error")});
  return shown(a, r, table, "no pools are known");
}

int statement(const Arguments& a) {
  Place place{"the gateway here", "unix:/run/qanat/gateway.sock", {}, {}};
  if (!a.options.socket.empty()) {
    place = {"the gateway at " + a.options.socket, "unix:" + a.options.socket, {}, {}};
  } else if (const auto state = find_lab(a.options); state && !state->gateways.empty()) {
    place = {
        "the gateway at " + state->gateways.front().node, "unix:" + state->gateways.front().socket, {}, {}};
  }
  const json s = ask(place, "GET", "/v1/statements/" + base::percent_encode(a.first));
  if (a.options.json) return done(a, s, "");
  Table table{{"CALL", ">IN", ">OUT", ">CNY", ">BILLED", ">UNDELIVERED", "RECORD"}};
  for (const json& l : s.value("lines", json::array()))
    table.row({text(l, "call"), text(l, "tokens_in"), text(l, "tokens_out"), money(l, "amount_nano"),
               money(l, "billed_nano"), money(l, "undelivered_nano"),
               !l.value("recorded", false)  ? "waiting"
               : l.value("disputed", false) ? "disputed"
                                            : "signed"});
  for (const json& l : s.value("services", json::array()))
    table.row({text(l, "id"), "", text(l, "quantity"), money(l, "amount_nano"), money(l, "amount_nano"), "",
               text(l, "kind")});
  fmt::print("{}revenue {} CNY; {} what tenants were billed, line by line\n", table.text(terminal_width()),
             money(s, "revenue_nano"), s.value("agrees", false) ? "agrees with" : "DIFFERS FROM");
  return s.value("agrees", false) ? 0 : kFailed;
}

int send_main(int argc, char** argv) {
  Noun n("send", "A data set to a site: by a deadline that is promised, or as cheaply as can be.",
         "\nExamples:\n  qanat send wards-2025 far1 --by 18:00 --wait\n  qanat send wards-2025 far1 "
         "--cheapest\n\n"
         "A deadline that cannot be kept is refused at once, with the earliest that can.");
  n.app.add_option("dataset", n.a.first, "its name, its file's id or its digest")->required();
  n.app.add_option("site", n.a.second, "a pool, or the site of one")->required();
  n.app.add_option("--by", n.a.by, "until when it must be there")->type_name("HH:MM|+DURATION");
  n.app.add_flag("--cheapest", n.a.cheapest, "in off-peak windows, behind all others");
  n.app.add_flag("--wait", n.a.wait, "until it is there, with progress");
  n.common(&n.app);
  n.action = [&n] { return send(n.a); };
  return n.run(argc, argv);
}

int statement_main(int argc, char** argv) {
  Noun n("statement", "What a pool earned at a gateway, held line by line against what tenants were billed.",
         "\nExample:\n  qanat statement far1-h20");
  n.app.add_option("pool", n.a.first, "the pool's id")->required();
  n.app.add_option("--socket", n.a.options.socket, "a gateway's Unix socket, instead of the lab's")
      ->type_name("PATH");
  n.app.add_flag("--json", n.a.options.json, "print JSON rather than text");
  n.app.add_option("--lab", n.a.options.lab, "the lab to ask, where several run")->type_name("NAME");
  n.action = [&n] { return statement(n.a); };
  return n.run(argc, argv);
}

int dataset_main(int argc, char** argv) {
  Noun n("dataset", "Data sets and other files in a gateway's store.",
         "\nExamples:\n  qanat dataset put wards.jsonl --name wards-2025\n  qanat dataset transfers");
  n.app.require_subcommand(1);
  CLI::App* sub = n.command("put", "send a file by its chunks; what is there already is skipped",
                            [&n] { return put(n.a); });
  sub->add_option("file", n.a.first, "the file")->required();
  sub->add_option("--name", n.a.name, "what to call it (the file's own name)")->type_name("NAME");
  sub->add_option("--purpose", n.a.model, "as OpenAI's files have it (dataset)")->type_name("WORD");
  n.command("list", "every file of the tenant", [&n] { return files(n.a); });
  n.command("transfers", "what was sent where", [&n] { return transfers(n.a); });
  return n.run(argc, argv);
}

int job_main(int argc, char** argv) {
  Noun n("job", "Fine-tunes: where they run, how far they are.",
         "\nExamples:\n  qanat job create deepseek-r1-distill-qwen-32b wards-2025 --priority high --suffix "
         "wards\n"
         "  qanat job show ftjob-…");
  n.app.require_subcommand(1);
  CLI::App* sub = n.command("create", "a model, trained on a data set", [&n] { return create_job(n.a); });
  sub->add_option("model", n.a.first, "a model that pools serve")->required();
  sub->add_option("dataset", n.a.second, "JSON lines of chat messages: a name, a file's id or a digest")
      ->required();
  sub->add_option("--priority", n.a.priority, "high, normal or low")
      ->check(CLI::IsMember({"high", "normal", "low"}));
  sub->add_option("--prefer", n.a.prefer, "the earliest end (time) or the lowest price (cost)")
      ->check(CLI::IsMember({"time", "cost"}));
  sub->add_option("--pool", n.a.pools, "only there")->type_name("POOL|SITE");
  sub->add_option("--suffix", n.a.suffix, "in the new version's name")->type_name("WORD");
  n.command("list", "every fine-tune of the tenant", [&n] { return list_jobs(n.a); });
  n.command("show", "one, with what happened to it", [&n] { return show_job(n.a); })
      ->add_option("job", n.a.first, "its id")
      ->required();
  for (const char* verb : {"pause", "resume", "cancel"})
    n.command(verb,
              std::string(verb) == "pause"    ? "keep its state and stop"
              : std::string(verb) == "resume" ? "go on"
                                              : "end it",
              [&n, verb] { return turn_job(n.a, verb); })
        ->add_option("job", n.a.first, "its id")
        ->required();
  return n.run(argc, argv);
}

int model_main(int argc, char** argv) {
  Noun n("model", "Versions of models, and the names that lead to them.",
         "\nExamples:\n  qanat model switch wards ft-wards-1a2b3c4d5e6f\n  qanat model rollback wards");
  n.app.require_subcommand(1);
  n.command("list", "the tenant's names and versions", [&n] { return list_models(n.a); });
  CLI::App* sub = n.command("switch", "a name to a version, at every gateway or at none",
                            [&n] { return switch_model(n.a, "switch"); });
  sub->add_option("name", n.a.first, "what calls name")->required();
  sub->add_option("version", n.a.second, "a fine-tuned model, or a model of the pools")->required();
  n.command("rollback", "to the version before", [&n] { return switch_model(n.a, "rollback"); })
      ->add_option("name", n.a.first, "what calls name")
      ->required();
  return n.run(argc, argv);
}

int contract_main(int argc, char** argv) {
  Noun n("contract",
         "On which terms others may use an artefact; enforced by gateway and pools, each use on record.",
         "\nExample:\n  qanat contract make wards-2025 --user clinic --site far1 --for finetune --uses 3 "
         "--until +7d");
  n.app.require_subcommand(1);
  CLI::App* sub = n.command("make", "sign one", [&n] { return make_contract(n.a); });
  sub->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")->required();
  sub->add_option("--user", n.a.users, "a tenant who may use it")->type_name("TENANT");
  sub->add_option("--site", n.a.sites, "where")->type_name("POOL|SITE");
  sub->add_option("--for", n.a.purposes, "transfer, finetune")
      ->check(CLI::IsMember({"transfer", "finetune"}));
  sub->add_option("--uses", n.a.uses, "how often (0: no limit)")->type_name("N");
  sub->add_option("--until", n.a.until, "until when (no end)")->type_name("HH:MM|+DURATION");
  sub->add_option("--class", n.a.data_class, "open, internal or confidential")
      ->check(CLI::IsMember({"open", "internal", "confidential"}));
  n.command("list", "those that you gave, and were given", [&n] { return list_contracts(n.a); });
  n.command("revoke", "from now on, in the middle of a use too", [&n] { return revoke_contract(n.a); })
      ->add_option("contract", n.a.first, "its id")
      ->required();
  n.command("report", "every use, allowed and refused, held against the audit tree",
            [&n] { return report(n.a, "contracts"); })
      ->add_option("contract", n.a.first, "its id")
      ->required();
  return n.run(argc, argv);
}

int artefact_main(int argc, char** argv) {
  Noun n("artefact", "An artefact over all its contracts and copies.",
         "\nExample:\n  qanat artefact report wards-2025");
  n.app.require_subcommand(1);
  n.command("report", "every use of it, held against the audit tree",
            [&n] { return report(n.a, "artefacts"); })
      ->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")
      ->required();
  n.command("forget", "every pool deletes its copy, and signs that it did", [&n] { return forget(n.a); })
      ->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")
      ->required();
  return n.run(argc, argv);
}

struct NounMain {
  std::string_view noun;
  int (*run)(int, char**);
};
constexpr NounMain kNouns[] = {
    {"send", send_main},   {"dataset", dataset_main},   {"artefact", artefact_main},  {"job", job_main},
    {"model", model_main}, {"contract", contract_main}, {"statement", statement_main}};

}  // namespace

bool is_data_noun(std::string_view noun) {
  for (const NounMain& one : kNouns)
    if (one.noun == noun) return true;
  return false;
}

int data_main(int argc, char** argv) {
  for (const NounMain& one : kNouns)
    if (one.noun == argv[0]) return one.run(argc, argv);
  return kWrongUsage;
}

}  // namespace qanat::cli
