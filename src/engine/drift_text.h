/* What drift.c measures on. When it is changed, every model is measured again. Our own: prose, talk,
 * numbers and code, so that likely and unlikely tokens occur; long enough for large vocabularies. ASCII.
 * tests/test_states.py reads the literals. */
#ifndef LULL_ENGINE_DRIFT_TEXT_H
#define LULL_ENGINE_DRIFT_TEXT_H

static const char lull_drift_text[] =
    "The lighthouse at Skerry Point was built in 1871, after three ships had been lost on the "
    "same reef within a single winter. Its keeper, a quiet man called Anders Holm, wrote down "
    "the weather twice a day for thirty-four years. He began each entry with the wind and ended "
    "it with a word or two about the sea: \"restless\", \"like glass\", or once, in February, "
    "\"I would rather not say\".\n\n"
    "His daughter Marit kept the books when he had gone. She was asked why she never left the "
    "island. \"Somebody has to know what yesterday was like,\" she said. \"Otherwise every storm "
    "is the first one.\" The books are now in the town's library, on the second floor, between "
    "the maps and the collected letters of a bishop whom nobody remembers. Scientists have "
    "copied them and found that the average temperature rose by 1.3 degrees between 1880 and "
    "1910, most of it in the autumn.\n\n"
    "A short program is enough to check this. It reads one line a day, adds up what it finds, "
    "and prints the mean of every year:\n\n"
    "def yearly_means(lines):\n"
    "    totals = {}\n"
    "    for line in lines:\n"
    "        date, temperature = line.split(\",\")\n"
    "        year = int(date[:4])\n"
    "        count, total = totals.get(year, (0, 0.0))\n"
    "        totals[year] = (count + 1, total + float(temperature))\n"
    "    return {year: total / count for year, (count, total) in totals.items()}\n\n"
    "If a year has fewer than 300 entries, its mean should not be trusted, because the missing "
    "days are almost always the worst ones: nobody climbs the stairs to read a thermometer in a "
    "gale.\n";

#endif
