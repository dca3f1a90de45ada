#include "cli/text.h"

#include <gtest/gtest.h>

namespace decree::cli {
namespace {

using std::chrono::milliseconds;

TEST(Duration, IsReadWithItsUnit) {
  EXPECT_EQ(parse_duration("500ms").value(), milliseconds(500));
  EXPECT_EQ(parse_duration("5s").value(), milliseconds(5000));
  EXPECT_EQ(parse_duration("1.5s").value(), milliseconds(1500));
  EXPECT_EQ(parse_duration("2m").value(), milliseconds(120'000));
  EXPECT_EQ(parse_duration("3").value(), milliseconds(3000));
  for (const char* wrong : {"", "s", "5q", "-1s", "1e30h", "nan", "5 s"})
    EXPECT_FALSE(parse_duration(wrong).ok()) << wrong;
}

TEST(PrefixEnd, IsTheFirstKeyBehindThePrefix) {
  EXPECT_EQ(prefix_end("a"), "b");
  EXPECT_EQ(prefix_end("config/"), "config0");
  EXPECT_EQ(prefix_end("a\xff\xff"), "b");
  EXPECT_EQ(prefix_end("\xff\xff"), std::string(1, '\0'));
  EXPECT_EQ(prefix_end(""), std::string(1, '\0'));
}

TEST(Printable, IsOneSafeLine) {
  EXPECT_EQ(printable("plain text"), "plain text");
  EXPECT_EQ(printable("a\nb\tc\\d"), "a\\nb\\tc\\\\d");
  EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(printable(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(printable("größe €"), "größe €");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut in the middle
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");           // a control character in disguise
}

TEST(HumanBytes, PicksTheUnit) {
  EXPECT_EQ(human_bytes(17), "17 B");
  EXPECT_EQ(human_bytes(20480), "20.0 KiB");
  EXPECT_EQ(human_bytes(int64_t{3} << 30), "3.0 GiB");
}

TEST(Table, AlignsColumns) { EXPECT_EQ(table({{"A", "LONG"}, {"größe", "x"}}), "A      LONG\ngröße  x\n"); }

TEST(Numbers, AreWholeOrRefused) {
  EXPECT_EQ(parse_integer("-3").value(), -3);
  EXPECT_FALSE(parse_integer("3x").ok());
  EXPECT_FALSE(parse_integer("").ok());
  EXPECT_FALSE(parse_integer("99999999999999999999").ok());
  EXPECT_EQ(parse_lease("ff").value(), 255);
  EXPECT_FALSE(parse_lease("xyz").ok());
}

}  // namespace
}  // namespace decree::cli
