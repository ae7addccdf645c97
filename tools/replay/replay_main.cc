// qanat-replay: a tenant that replays a production trace through a gateway and tells what it got.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.hh"
#include "base/file.hh"
#include "tools/replay/sender.hh"

namespace {

using namespace qanat;
namespace asio = boost::asio;

struct Options {
  std::string trace = "../shared/data/llm/azure/AzureLLMInferenceTrace_conv.csv.gz";
  replay::ReplayPlan plan;
  replay::SenderOptions sender;
  std::vector<std::string> local_pools;
  std::string json_file;
  bool json_lines = false, dry_run = false;
};

// The command line; on return `status` tells main to end.
Options parse(int argc, char** argv, std::optional<int>& status) {
  Options o;
  CLI::App app{"Replays an LLM trace through a gateway, open loop, and measures what a tenant sees.",
               "qanat-replay"};
  app.footer(
      "Example: qanat-replay --gateway http://127.0.0.1:8080 --key sk-qanat-… "
      "--model c-url://any/infer/deepseek-r1-distill-qwen-32b --limit 240 --compress 1.3");
  app.add_option("--trace", o.trace, "CSV of TIMESTAMP,ContextTokens,GeneratedTokens, plain or .gz")
      ->capture_default_str();
  app.add_option("--gateway", o.sender.gateway, "its URL")->envname("QANAT_GATEWAY");
  app.add_option("--key", o.sender.key, "the tenant's API key")->envname("QANAT_KEY");
  app.add_option("--model", o.sender.model, "C-URL or catalogue name");
  app.add_option("--compress", o.plan.compress, "divide the gaps between requests by this")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  app.add_option("--skip", o.plan.skip, "leave out so many requests at the beginning");
  app.add_option("--limit", o.plan.limit, "send at most so many requests (0: all)");
  app.add_option("--max-tokens", o.plan.max_tokens, "cap on each answer's tokens (0: none)");
  app.add_option("--max-prompt", o.plan.max_prompt, "cap on each prompt's tokens (0: none)");
  app.add_option("--seed", o.sender.seed, "of the prompts' words")->capture_default_str();
  app.add_option("--local-pool", o.local_pools, "a pool to count as local (default: ask the gateway)");
  app.add_flag("--json-lines", o.json_lines, "progress as JSON, one line a second");
  app.add_option("--json", o.json_file, "write the summary to this file");
  app.add_flag("--dry-run", o.dry_run, "print when and what would be sent, and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    status = app.exit(error) == 0 ? 0 : 2;
    return o;
  }
  if (!o.dry_run && (o.sender.gateway.empty() || o.sender.model.empty())) {
    fmt::print(stderr, "qanat-replay: --gateway and --model are required\n");
    status = 2;
  }
  o.sender.local_pools.insert(o.local_pools.begin(), o.local_pools.end());
  return o;
}

void print_plan(const std::vector<replay::TraceRow>& requests) {
  std::uint64_t prompt = 0, output = 0;
  for (const auto& row : requests) {
    fmt::print("{:9.3f} s  prompt {:5}  output {:5}\n", std::chrono::duration<double>(row.at).count(),
               row.prompt_tokens, row.output_tokens);
    prompt += row.prompt_tokens;
    output += row.output_tokens;
  }
  fmt::print("{} requests over {:.1f} s, {} prompt tokens, {} output tokens\n", requests.size(),
             std::chrono::duration<double>(requests.back().at).count(), prompt, output);
}

int send(const Options& options, std::vector<replay::TraceRow> requests) {
  asio::io_context io;
  replay::Tally tally;
  replay::Sender sender(io, options.sender, tally);
  asio::steady_timer tick(io);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  int status = 0;
  const base::Time start = base::monotonic_now();
  const auto elapsed = [start] { return base::monotonic_now() - start; };

  signals.async_wait([&](boost::system::error_code error, int) {
    if (error) return;
    status = 1;
    sender.stop();
  });
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        boost::system::error_code error;
        for (auto next = std::chrono::steady_clock::now();;) {
          tick.expires_at(next += std::chrono::seconds(1));
          co_await tick.async_wait(asio::redirect_error(asio::use_awaitable, error));
          if (error) co_return;
          fmt::print("{}\n", tally.progress(elapsed(), options.json_lines));
          std::fflush(stdout);
        }
      },
      asio::detached);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        if (co_await sender.learn_local_pools()) {
          co_await sender.send_all(std::move(requests));
        } else {
          fmt::print(stderr, "qanat-replay: the gateway {} cannot be reached\n", options.sender.gateway);
          status = 3;
        }
        io.stop();  // idle connections would keep the loop for a minute
      },
      asio::detached);
  io.run();

  if (status == 3) return status;
  const std::string summary = tally.summary_json(elapsed());
  if (!options.json_file.empty()) base::write_file(options.json_file, summary + "\n", 0644);
  if (options.json_lines)
    fmt::print("{{\"summary\":{}}}\n", summary);
  else
    fmt::print("{}", tally.summary_text(elapsed()));
  return tally.failed_count() > 0 ? 1 : status;
}

}  // namespace

int main(int argc, char** argv) try {
  std::optional<int> status;
  const Options options = parse(argc, argv, status);
  if (status) return *status;
  const auto requests = replay::plan_requests(replay::read_trace(options.trace), options.plan);
  if (requests.empty()) {
    fmt::print(stderr, "qanat-replay: --skip leaves no request of the trace\n");
    return 2;
  }
  if (options.dry_run) {
    print_plan(requests);
    return 0;
  }
  return send(options, requests);
} catch (const std::exception& error) {
  fmt::print(stderr, "qanat-replay: {}\n", error.what());
  return 1;
}
