#include "tools/qanat/valve_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/run_command.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
namespace {

using nlohmann::json;

constexpr const char* kExamples = R"(
Examples:
  qanat valve status                         what is open, what it costs
  qanat valve plans                          and: qanat valve confirm deepseek-r1-distill-qwen-32b 3
  qanat valve open deepseek-r1-distill-qwen-32b --engines 2
  qanat valve mode deepseek-r1-distill-qwen-32b ask
  qanat valve dispatch qwen-32b --streams 60 --ttft 2000 --tpot 100 --max-per-hour 200
  qanat valve bill                           card time used, line by line

Amounts are the pools' currency. Without --socket: a running lab's gateway, else /run/qanat/gateway.sock.)";

struct Arguments {
  Options options;
  std::string model, mode, id, prefer;
  std::uint64_t plan = 0;
  std::uint32_t engines = 1, streams = 1, input = 1024, output = 1024, ttft = 2000, tpot = 100;
  double most_per_hour = -1, mbps = 0;
  bool keep_up = false;
};

Place gateway(const Options& o) {
  if (!o.socket.empty()) return {"the gateway at " + o.socket, "unix:" + o.socket, "", ""};
  if (const auto state = find_lab(o); state && !state->gateways.empty()) {
    const lab::GatewayState& g = state->gateways.front();
    return {"the gateway at " + g.node, "unix:" + g.socket, "", ""};
  }
  return {"the gateway here", "unix:/run/qanat/gateway.sock", "", ""};
}

// Nano-currency as currency, whatever its width.
std::string money(const json& nano) {
  if (nano.is_string()) return nano.get<std::string>() + " nano";
  const double amount = nano.get<double>() * 1e-9;
  return amount < 0 ? "-" : amount < 1 ? fmt::format("{:.4f}", amount) : fmt::format("{:.2f}", amount);
}

std::string target(const Arguments& a, const std::string& verb) {
  return "/v1/valves/" + base::percent_encode(a.model) + "/" + verb;
}

void show(const json& valves) {
  if (valves.empty()) {
    fmt::print("no valve; [[valve]] in the gateway's configuration, or `qanat valve dispatch`\n");
    return;
  }
  Table table{{"MODEL", "MODE", "STATE", ">DEMAND", ">EXPECTED", ">LOCAL", ">SPENT", ">BUDGET", ">PLANS"}};
  Table rights{
      {"MODEL", "POOL", "CARDS", "STATE", ">AWAKE", ">OF", ">COLD", ">PER CARD S", ">CHARGED", "ERROR"}};
  for (const json& v : valves) {
    table.row({v["model"], v["mode"], v["state"], fmt::format("{:.0f}", v["demand"].get<double>()),
               fmt::format("{:.0f}", v["expected"].get<double>()),
               fmt::format("{:g}", v["local_streams"].get<double>()), money(v["spent_nano"]),
               money(v["budget_nano"]), v["plans_waiting"].dump()});
    for (const json& p : v["placeholders"]) {
      const double cards = std::max(1.0, p["cards_per_engine"].get<double>());
      rights.row({v["model"], p["pool"],
                  fmt::format("{} × {}", p["cards_per_engine"].get<int>(), p["card"].get<std::string>()),
                  p["state"], p["awake"].dump(), p["engines"].dump(),
                  fmt::format("{:.1f} s", p["cold_ms"].get<double>() / 1e3),
                  money(json(p["nano_per_s"].get<double>() / cards)), money(p["charged_nano"]), p["error"]});
    }
  }
  fmt::print("{}\n{}", table.text(terminal_width()), rights.text(terminal_width()));
}

int print(const Arguments& a, const json& answer, const std::function<void()>& text) {
  if (a.options.json)
    fmt::print("{}\n", answer.dump(2));
  else
    text();
  return 0;
}

int status(const Arguments& a) {
  const json all = ask(gateway(a.options), "GET", "/v1/valves");
  return print(a, all, [&] { show(all); });
}

int change(const Arguments& a, const char* method, const std::string& verb, const json& body) {
  const json answer = ask(gateway(a.options), method, target(a, verb), body.dump());
  return print(a, answer, [&] { show(json::array({answer})); });
}

int plans(const Arguments& a) {
  const json all = ask(gateway(a.options), "GET", "/v1/valve-plans");
  return print(a, all, [&] {
    if (all.empty()) return fmt::print("no plan\n");
    Table table{{">PLAN", "MODEL", "STATE", "ENGINES", ">PER HOUR", ">DEMAND", ">EXPECTED"}};
    for (const json& p : all) {
      std::string engines;
      for (const json& e : p["engines"])
        engines += fmt::format("{}{} at {}", engines.empty() ? "" : ", ", e["engines"].get<int>(),
                               e["pool"].get<std::string>());
      table.row({p["id"].dump(), p["model"], p["state"], engines, money(p["nano_per_hour"]),
                 fmt::format("{:.0f}", p["demand"].get<double>()),
                 fmt::format("{:.0f}", p["expected"].get<double>())});
    }
    fmt::print("{}", table.text(terminal_width()));
  });
}

int bill(const Arguments& a) {
  const json all = ask(gateway(a.options), "GET", "/v1/valve-uses");
  return print(a, all, [&] {
    Table table{{"POOL", "MODEL", ">CARD SECONDS", ">CHARGED", ""}};
    for (const json& u : all["lines"])
      table.row({u["pool"], u["model"], fmt::format("{:.3f}", u["card_ms"].get<double>() / 1e3),
                 money(u["charged_nano"]), u["ended_unix_ms"] == 0 ? "now" : ""});
    fmt::print("{}total {:.3f} card-seconds, {}\n", table.text(terminal_width()),
               all["card_ms"].get<double>() / 1e3, money(all["total_nano"]));
  });
}

void show_dispatch(const json& d) {
  fmt::print("{}: {} streams of {}, {}; {} an hour while all are up\n", d["id"].get<std::string>(),
             d["streams"].dump(), d["model"].get<std::string>(), d["state"].get<std::string>(),
             money(d["nano_per_hour"]));
  Table table{{"POOL", "CARD", ">CARDS", ">PER HOUR", ">RTT", "IMAGE", "WHY"}};
  for (const json& c : d["choices"])
    table.row({c["pool"], c["card"], c["cards"].dump(), money(c["nano_per_hour"]),
               fmt::format("{:.0f} ms", c["rtt_ms"].get<double>()), c["image"], c["why"]});
  fmt::print("{}", table.text(terminal_width()));
  for (const json& n : d["network"])
    fmt::print("network to {}: {}\n", n["to"].get<std::string>(), n["state"].get<std::string>());
}

int dispatch(const Arguments& a) {
  json body{{"model", a.model},     {"streams", a.streams},    {"input", a.input},   {"output", a.output},
            {"ttft_ms", a.ttft},    {"tpot_ms", a.tpot},       {"prefer", a.prefer}, {"mode", a.mode},
            {"keep_up", a.keep_up}, {"bandwidth_mbps", a.mbps}};
  if (a.most_per_hour >= 0) body["max_nano_per_hour"] = a.most_per_hour * 1e9;
  const json answer = ask(gateway(a.options), "POST", "/v1/dispatches", body.dump());
  return print(a, answer, [&] { show_dispatch(answer); });
}

int dispatches(const Arguments& a) {
  const json all = ask(gateway(a.options), "GET", "/v1/dispatches");
  return print(a, all, [&] {
    if (all.empty()) fmt::print("no dispatch\n");
    for (const json& d : all) show_dispatch(d);
  });
}

int tasks(const Arguments& a) {
  const json all = ask(gateway(a.options), "GET", "/v1/tasks");
  return print(a, all, [&] {
    Table table{{"TASK", "KIND", "TENANT", "STATE", "AT", ">DONE", ">OF", "UNIT"}};
    for (const json& t : all)
      table.row({t["id"], t["kind"], t["tenant"], t["state"], t["at"], t["done"].dump(), t["of"].dump(),
                 t["unit"]});
    if (all.empty())
      fmt::print("no transfer, no spread and no fine-tune is under way\n");
    else
      fmt::print("{}", table.text(terminal_width()));
  });
}

int release(const Arguments& a) {
  if (!a.id.starts_with("dispatch-")) {
    const json answer = ask(gateway(a.options), "DELETE", "/v1/tasks/" + base::percent_encode(a.id));
    return print(a, answer, [&] { fmt::print("{} is cancelled; what was done is billed\n", a.id); });
  }
  const json answer = ask(gateway(a.options), "DELETE", "/v1/dispatches/" + base::percent_encode(a.id));
  return print(a, answer, [&] { fmt::print("{} is released; its engines drain\n", a.id); });
}

int placeholders(const Arguments& a, const std::string& pool) {
  if (a.options.socket.empty() && pool.empty())
    throw CommandError{kWrongUsage, "which pool?", "--pool http://ADDRESS:PORT, or --socket PATH"};
  const Place place{"the pool at " + (pool.empty() ? a.options.socket : pool),
                    pool.empty() ? "unix:" + a.options.socket : pool, "", ""};
  const json all = ask(place, "GET", "/qanat/v1/placeholders");
  return print(a, all, [&] {
    Table models{{"MODEL", ">ENGINES", ">FREE", ">CARDS EACH", ">COLD", "IMAGE"}};
    for (const json& m : all["models"])
      models.row({m["model"], m["engines"].dump(), m["free"].dump(), m["cards_per_engine"].dump(),
                  fmt::format("{:.1f} s", m["cold_s"].get<double>()),
                  m["image"].is_string() ? m["image"].get<std::string>() : "none"});
    Table rights{{"PLACEHOLDER", "OWNER", ">RIGHTS", ">AWAKE", ">HELD", ">CARD SECONDS", ">CHARGED"}};
    for (const json& p : all["placeholders"])
      rights.row({p["id"], p["owner"], p["engines"].dump(), p["awake"].dump(), p["held"].dump(),
                  fmt::format("{:.3f}", p["card_ms"].get<double>() / 1e3), money(p["charged_nano"])});
    fmt::print("{}\n{}", models.text(terminal_width()), rights.text(terminal_width()));
  });
}

}  // namespace

int valve_main(int argc, char** argv) {
  CLI::App app{"Remote cards: what is open, what it costs, plans, dispatches.", "qanat valve"};
  app.footer(kExamples);
  app.require_subcommand(1);
  Arguments a;
  a.mode = "auto";
  a.prefer = "cost";
  std::function<int()> action;
  const auto command = [&](const std::string& name, const std::string& summary, std::function<int()> run) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_option("--socket", a.options.socket, "the gateway's admin socket")->type_name("PATH");
    sub->add_option("--lab", a.options.lab, "which lab, where several run")->type_name("NAME");
    sub->add_flag("--json", a.options.json, "print JSON rather than text");
    sub->callback([&action, run = std::move(run)] { action = run; });
    return sub;
  };
  const auto of_model = [&](CLI::App* sub) {
    sub->add_option("model", a.model, "a model of the pools")->required();
    return sub;
  };
  command("status", "every valve and its placeholders", [&] { return status(a); });
  of_model(command("open", "engines up now, until closed",
                   [&] {
                     return change(a, "POST", "open", {{"engines", a.engines}});
                   }))
      ->add_option("--engines", a.engines, "at least so many (1)")
      ->check(CLI::Range(0, 4096));
  of_model(command("close", "no call leaves; what is up drains",
                   [&] { return change(a, "POST", "close", json::object()); }));
  of_model(command("mode", "auto, ask or closed",
                   [&] {
                     return change(a, "PUT", "mode", {{"mode", a.mode}});
                   }))
      ->add_option("mode", a.mode, "auto, ask or closed")
      ->required();
  command("plans", "what waits for a yes, and what became of others", [&] { return plans(a); });
  for (const char* verb : {"confirm", "refuse"})
    of_model(command(verb, std::string(verb) == "confirm" ? "yes to a plan" : "no to a plan",
                     [&a, verb] {
                       return change(a, "POST", "plans/" + std::to_string(a.plan) + "/" + verb,
                                     json::object());
                     }))
        ->add_option("plan", a.plan, "its number")
        ->required();
  command("bill", "card time used, line by line", [&] { return bill(a); });
  CLI::App* sub = of_model(command("dispatch", "cards for so many streams, within a price and an SLA",
                                   [&] { return dispatch(a); }));
  sub->add_option("--streams", a.streams, "at once")->required()->check(CLI::Range(1, 10'000));
  sub->add_option("--input", a.input, "prompt tokens of a request (1024)")->check(CLI::Range(1, 1 << 20));
  sub->add_option("--output", a.output, "output tokens of a request (1024)")->check(CLI::Range(2, 1 << 16));
  sub->add_option("--ttft", a.ttft, "mean time to the first token (2000)")->type_name("MS");
  sub->add_option("--tpot", a.tpot, "mean time per further token (100)")->type_name("MS");
  sub->add_option("--max-per-hour", a.most_per_hour, "currency, while all cards are up")->type_name("AMOUNT");
  sub->add_option("--prefer", a.prefer, "cost (default) or latency");
  sub->add_option("--mode", a.mode, "of the valve: auto (default), ask, closed");
  sub->add_option("--bandwidth", a.mbps, "asked of the network for each site")->type_name("MBIT/S");
  sub->add_flag("--keep-up", a.keep_up, "awake from now on, not only while they are needed");
  command("dispatches", "what was dispatched, and how far it is", [&] { return dispatches(a); });
  command("tasks", "transfers, spreads and fine-tunes of all tenants", [&] { return tasks(a); });
  command("release", "gives a dispatch's cards and rights back, or ends a task", [&] { return release(a); })
      ->add_option("dispatch", a.id, "its id, or a task's")
      ->required();
  return run_command(app, argc, argv, [&] { return action(); });
}

int placeholder_main(int argc, char** argv) {
  CLI::App app{"Rights to start engines at a pool.", "qanat placeholder"};
  app.footer("\nExample:\n  qanat placeholder list --pool http://100.96.2.1:9000");
  app.require_subcommand(1);
  Arguments a;
  std::string pool;
  CLI::App* list = app.add_subcommand("list", "what a pool leases, to whom, and what it came to");
  list->add_option("--pool", pool, "its address")->type_name("URL");
  list->add_option("--socket", a.options.socket, "or its Unix socket")->type_name("PATH");
  list->add_flag("--json", a.options.json, "print JSON rather than text");
  return run_command(app, argc, argv, [&] { return placeholders(a, pool); });
}

}  // namespace qanat::cli
