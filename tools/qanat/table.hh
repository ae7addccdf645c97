// Table: rows in columns that fit the terminal, for people; programs ask for --json.
// Numbers stand to the right; a column that does not fit is cut with an ellipsis, the widest first.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::cli {

class Table {
 public:
  // A heading that starts with '>' belongs to a column set to the right.
  explicit Table(std::vector<std::string> headings);
  // As many cells as headings.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }  // headings alone
  // width 0: as wide as it comes.
  std::string text(std::size_t width) const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // the first: headings
};

// Columns of the terminal that stdout is; 0 when it is none.
std::size_t terminal_width();
// From now on that is what it says, while what is printed goes elsewhere first (live.hh); nullopt: the terminal's own.
void set_terminal_width(std::optional<std::size_t> columns);
// Columns that UTF-8 text takes on a terminal.
std::size_t display_width(std::string_view text);

// "12.3 ms" from microseconds, "1.2 MB" from bytes, "0.25 %" from parts per million.
std::string milliseconds(double microseconds);
std::string bytes(double count);
std::string percent(double ppm);

}  // namespace qanat::cli
