#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/data_command.hh"
#include "tools/qanat/live.hh"
#include "tools/qanat/noun.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

std::string job_text(const json& j) {
  const json own = j.value("x_qanat", json::object());
  std::string line = fmt::format("{}: {}, {} of {} steps ({} safe)", text(j, "id"), text(j, "status"),
                                 text(own, "step"), text(own, "steps"), text(own, "safe_step"));
  if (text(own, "pool") != "-") line += ", at " + text(own, "pool");
  if (const int times = own.value("preempted", 0)) line += fmt::format(", gave way {} times", times);
  if (text(j, "fine_tuned_model") != "-") line += "\nmodel    " + text(j, "fine_tuned_model");
  if (own.contains("before"))
    line += "\nloss     " + text(own["before"], "train_loss") + " before, " +
            text(own["after"], "train_loss") + " after";
  if (j.contains("error") && j["error"].is_object())
    line += "\nerror    " + text(j["error"], "code") + ": " + text(j["error"], "message");
  return line;
}

// Until it is over; progress on standard error.
int follow_job(const NounArguments& a, const std::string& id) {
  std::optional<Progress> progress(!a.options.json);
  for (;;) {
    const json j = call(a, "GET", "/v1/fine_tuning/jobs/" + id);
    const std::string status = text(j, "status");
    const json own = j.value("x_qanat", json::object());
    const auto steps = [&](const char* key) {
      return own.contains(key) && own[key].is_number() ? own[key].get<double>() : 0;
    };
    const bool good = status == "succeeded", over = good || status == "failed" || status == "cancelled";
    progress->show(over ? 1 : steps("step"), over ? 1 : std::max(1.0, steps("steps")),
                   status + ", at " + text(own, "pool"));
    if (over) {
      progress.reset();
      done(a, j, job_text(j));
      return good ? 0 : kFailed;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

int create_job(const NounArguments& a) {
  json body{{"model", a.first},
            {"training_file", a.second},
            {"x_qanat", {{"priority", a.priority}, {"prefer", a.prefer}}}};
  if (!a.suffix.empty()) body["suffix"] = a.suffix;
  if (!a.pools.empty()) body["x_qanat"]["pools"] = a.pools;
  const json j = call(a, "POST", "/v1/fine_tuning/jobs", body);
  if (a.wait) return follow_job(a, text(j, "id"));
  return done(a, j, job_text(j));
}

int list_jobs(const NounArguments& a) {
  const json list = call(a, "GET", "/v1/fine_tuning/jobs");
  Table table{{"ID", "MODEL", "STATUS", "PRIORITY", "POOL", ">STEP", ">OF", ">MOVES"}};
  for (const json& j : list.value("data", json::array())) {
    const json own = j.value("x_qanat", json::object());
    table.row({text(j, "id"), text(j, "model"), text(j, "status"), text(own, "priority"), text(own, "pool"),
               text(own, "step"), text(own, "steps"), text(own, "moves")});
  }
  return shown(a, list, table, "no fine-tunes yet: qanat job create MODEL DATASET");
}

int show_job(const NounArguments& a) {
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

int turn_job(const NounArguments& a, const std::string& verb) {
  const json j = call(a, "POST", "/v1/fine_tuning/jobs/" + a.first + "/" + verb, json::object());
  return done(a, j, job_text(j));
}

int list_models(const NounArguments& a) {
  const json all = call(a, "GET", "/qanat/v1/models");
  Table table{{"NAME OR VERSION", "LEADS TO", "BEFORE", ">GENERATION"}};
  for (const json& n : all.value("names", json::array()))
    table.row({text(n, "name"), text(n, "version"), text(n, "before"), text(n, "generation")});
  for (const json& v : all.value("versions", json::array()))
    table.row({text(v, "name"), "", text(v, "base"), ""});
  return shown(a, all, table, "no versions yet: a finished fine-tune is one");
}

int switch_model(const NounArguments& a, const std::string& verb) {
  const json body = verb == "switch" ? json{{"version", a.second}} : json::object();
  const json said = call(a, "POST", "/qanat/v1/models/" + base::percent_encode(a.first) + "/" + verb, body);
  return done(a, said,
              fmt::format("{} is {} at {} gateways and {} pools, {} ms", text(said, "name"),
                          text(said, "version"), said.value("gateways", json::array()).size(),
                          said.value("pools", json::array()).size(), text(said, "took_ms")));
}

}  // namespace

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
  sub->add_flag("--wait", n.a.wait, "until it is over, with progress; exit status 1 if it failed");
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

}  // namespace qanat::cli
