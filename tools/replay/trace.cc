#include "tools/replay/trace.hh"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace qanat::replay {
namespace {

constexpr std::size_t kMaxRows = 10'000'000;

template <class T>
bool number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string read_all(const std::string& path) {
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file)
    throw std::system_error(errno ? errno : ENOMEM, std::generic_category(), "cannot open the trace " + path);
  std::string text;
  char block[65536];
  int n = 0;
  while ((n = gzread(file.get(), block, sizeof block)) > 0) text.append(block, static_cast<std::size_t>(n));
  if (n < 0) throw std::runtime_error(path + ": damaged gzip file");
  return text;
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  // YYYY-MM-DD hh:mm:ss[.f…]
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' || (text[10] != ' ' && text[10] != 'T') ||
      text[13] != ':' || text[16] != ':')
    return std::nullopt;
  if (!number(text.substr(0, 4), year) || !number(text.substr(5, 2), month) ||
      !number(text.substr(8, 2), day) || !number(text.substr(11, 2), hour) ||
      !number(text.substr(14, 2), minute) || !number(text.substr(17, 2), second))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)),
                                         std::chrono::day(unsigned(day))};
  if (month < 0 || day < 0 || !date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  std::int64_t fraction = 0;
  if (text.size() > 19) {
    const auto digits = text.substr(20);
    if (text[19] != '.' || digits.empty() || digits.size() > 9 || !number(digits, fraction))
      return std::nullopt;
    for (std::size_t i = digits.size(); i < 9; ++i) fraction *= 10;
  }
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute) * 60'000'000'000 + second * 1'000'000'000ll + fraction;
}

std::vector<TraceRow> read_trace(const std::string& path) {
  const std::string text = read_all(path);
  std::vector<TraceRow> rows;
  std::int64_t first = 0;
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("TIMESTAMP"))) continue;
    const std::size_t a = line.find(','), b = line.find(',', a == line.npos ? a : a + 1);
    TraceRow row;
    std::optional<std::int64_t> at;
    if (b != line.npos) at = parse_timestamp(line.substr(0, a));
    if (!at || !number(line.substr(a + 1, b - a - 1), row.prompt_tokens) ||
        !number(line.substr(b + 1), row.output_tokens))
      throw std::runtime_error(fmt::format(
          "{}:{}: expected \"YYYY-MM-DD hh:mm:ss.f,context tokens,generated tokens\"", path, line_number));
    if (rows.size() == kMaxRows)
      throw std::runtime_error(fmt::format("{}: more than {} rows", path, kMaxRows));
    if (rows.empty()) first = *at;
    row.at = base::Duration(*at - first);
    rows.push_back(row);
  }
  if (rows.empty()) throw std::runtime_error(path + ": no requests in it");
  std::stable_sort(rows.begin(), rows.end(), [](const auto& x, const auto& y) { return x.at < y.at; });
  return rows;
}

std::vector<TraceRow> plan_requests(const std::vector<TraceRow>& trace, const ReplayPlan& plan) {
  const std::size_t begin = std::min(plan.skip, trace.size());
  const std::size_t end = plan.limit == 0 ? trace.size() : std::min(trace.size(), begin + plan.limit);
  std::vector<TraceRow> rows;
  for (std::size_t i = begin; i < end; ++i) {
    TraceRow row = trace[i];
    row.at =
        base::Duration(static_cast<std::int64_t>(double((row.at - trace[begin].at).count()) / plan.compress));
    row.prompt_tokens =
        std::max(1u, plan.max_prompt ? std::min(row.prompt_tokens, plan.max_prompt) : row.prompt_tokens);
    row.output_tokens =
        std::max(1u, plan.max_tokens ? std::min(row.output_tokens, plan.max_tokens) : row.output_tokens);
    rows.push_back(row);
  }
  return rows;
}

}  // namespace qanat::replay
