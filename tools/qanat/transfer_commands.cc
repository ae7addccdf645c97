#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/http_message.hh"
#include "gateway/jobs/artefact/manifest.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/data_command.hh"
#include "tools/qanat/live.hh"
#include "tools/qanat/noun.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

// Until it is over; progress on a terminal.
int follow(const NounArguments& a, const std::string& id) {
  std::optional<Progress> progress(!a.options.json);
  for (;;) {
    const json t = call(a, "GET", "/qanat/v1/transfers/" + id);
    const bool over = text(t, "state") != "moving";
    progress->show(t.value("bytes_moved", 0.0), t.value("bytes_to_move", 0.0),
                   fmt::format("{} of {}, {}/s, there {}", size_text(t, "bytes_moved"),
                               size_text(t, "bytes_to_move"), size_text(t, "bytes_s"),
                               clock_text(t.value(over ? "finished_unix_ms" : "predicted_unix_ms", json()))));
    if (over) {
      progress.reset();
      done(a, t, fmt::format("{}: {}, {} {}", id, text(t, "state"), money(t, "price_nano"), "CNY"));
      return text(t, "state") == "done" ? 0 : kFailed;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

int send(const NounArguments& a) {
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
int put(const NounArguments& a) {
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
  std::optional<Progress> progress(!a.options.json && !missing.empty());
  for (const json& n : missing) {
    const auto number = n.get<std::size_t>();
    const std::string part(next(number * manifest.chunk_bytes));
    last =
        ask(gateway, "PUT", "/qanat/v1/artefacts/" + text(file, "id") + "/" + std::to_string(number), part);
    ++sent;
    progress->show(double(sent), double(missing.size()),
                   fmt::format("{} of {} chunks", sent, missing.size()));
  }
  progress.reset();
  return done(a, last,
              fmt::format("{}: {} as {}, {} of {} chunks sent, sha256 of its manifest {}", name,
                          bytes(double(manifest.size)), text(file, "id"), missing.size(),
                          manifest.chunks.size(), text(file, "artefact")));
}

int files(const NounArguments& a) {
  const json list = call(a, "GET", "/v1/files");
  Table table{{"ID", "NAME", "PURPOSE", ">SIZE", "STATUS"}};
  for (const json& f : list.value("data", json::array()))
    table.row(
        {text(f, "id"), text(f, "filename"), text(f, "purpose"), size_text(f, "bytes"), text(f, "status")});
  return shown(a, list, table, "no files yet: qanat dataset put FILE");
}

int transfers(const NounArguments& a) {
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

std::string spread_text(const json& s) {
  std::string line = fmt::format("{}: {}, {} CNY of at most {}", text(s, "id"), text(s, "state"),
                                 money(s, "price_nano"), money(s, "at_most_nano"));
  for (const json& p : s.value("pools", json::array())) {
    line += fmt::format("\n  {:<16} {:<8} {} of {} missing", text(p, "pool"), text(p, "state"),
                        size_text(p, "bytes_missing"), size_text(p, "bytes_to_move"));
    if (text(p, "from") != "-") line += ", from " + text(p, "from");
  }
  return line;
}

int spread(const NounArguments& a) {
  json s = call(a, "POST", "/qanat/v1/spreads", {{"dataset", a.first}, {"pools", a.pools}});
  while (a.wait && text(s, "state") == "moving") {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    s = call(a, "GET", "/qanat/v1/spreads/" + text(s, "id"));
  }
  return done(a, s, spread_text(s));
}

}  // namespace

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

int dataset_main(int argc, char** argv) {
  Noun n("dataset", "Data sets and other files in a gateway's store.",
         "\nExamples:\n  qanat dataset put wards.jsonl --name wards-2025\n  qanat dataset spread "
         "wards-2025 far1 far2 far3 --wait\n  qanat dataset transfers");
  n.app.require_subcommand(1);
  CLI::App* sub = n.command("put", "send a file by its chunks; what is there already is skipped",
                            [&n] { return put(n.a); });
  sub->add_option("file", n.a.first, "the file")->required();
  sub->add_option("--name", n.a.name, "what to call it (the file's own name)")->type_name("NAME");
  sub->add_option("--purpose", n.a.model, "as OpenAI's files have it (dataset)")->type_name("WORD");
  sub = n.command("spread", "to many pools, pool to pool, each from the nearest copy",
                  [&n] { return spread(n.a); });
  sub->add_option("dataset", n.a.first, "its name, its file's id or its digest")->required();
  sub->add_option("pool", n.a.pools, "pools, or sites of pools")->required();
  sub->add_flag("--wait", n.a.wait, "until all have it");
  n.command("list", "every file of the tenant", [&n] { return files(n.a); });
  n.command("transfers", "what was sent where", [&n] { return transfers(n.a); });
  return n.run(argc, argv);
}

}  // namespace qanat::cli
