"""The functions that SQL of clients may call: what analysis needs, and nothing that knows of the server.

Nor what works on one value or state for long without looking at the time: distances by edits, rankCorr,
`has` and its like, which search a long array for every row, and what goes through a text for every letter
of it. Of what is left, `searching.py` bounds what searches.
"""

from typing import Final

_AGGREGATES: Final = """
    any anyHeavy anyLast argMax argMin avg avgWeighted boundingRatio corr corrStable count covarPop
    covarPopStable covarSamp covarSampStable deltaSum deltaSumTimestamp entropy exponentialMovingAverage
    first_value groupArray groupArrayInsertAt groupArrayLast groupArrayMovingAvg groupArrayMovingSum
    groupBitAnd groupBitOr groupBitXor groupConcat groupUniqArray histogram intervalLengthSum kurtPop
    kurtSamp last_value max median medianDeterministic medianExact medianTDigest medianTiming min quantile
    quantileDeterministic quantileExact quantileExactHigh quantileExactLow quantileExactWeighted
    quantileInterpolatedWeighted quantileTDigest quantileTDigestWeighted quantileTiming quantiles
    quantilesExact quantilesExactHigh quantilesExactLow quantilesTDigest quantilesTiming
    retention sequenceCount sequenceMatch simpleLinearRegression skewPop skewSamp stddevPop
    stddevPopStable stddevSamp stddevSampStable sum sumCount sumKahan sumWithOverflow topK topKWeighted
    uniq uniqCombined uniqCombined64 uniqExact uniqHLL12 varPop varPopStable varSamp varSampStable
    windowFunnel
"""
_COMBINATORS: Final = """
    If Array ArrayIf OrNull OrDefault Distinct ForEach Map State Merge ArgMin ArgMax
"""

_WINDOW: Final = """
    cume_dist dense_rank lag lagInFrame lead leadInFrame nth_value ntile percent_rank rank row_number
"""

_SCALARS: Final = """
    if multiIf coalesce ifNull nullIf isNull isNotNull assumeNotNull toNullable isNaN isFinite isInfinite
    ifNotFinite isZeroOrNull not xor equals notEquals less greater lessOrEquals greaterOrEquals like
    notLike greatest least transform materialize identity toTypeName

    plus minus multiply divide intDiv intDivOrZero modulo moduloOrZero positiveModulo negate abs sign gcd
    lcm bitAnd bitOr bitXor bitNot bitShiftLeft bitShiftRight bitCount bitTest e pi exp exp2 exp10 log
    log2 log10 log1p ln sqrt cbrt pow power sin cos tan asin acos atan atan2 sinh cosh tanh hypot degrees
    radians factorial floor ceil ceiling round roundBankers trunc truncate roundToExp2 roundDuration
    widthBucket min2 max2 erf erfc lgamma tgamma sigmoid

    toInt8 toInt16 toInt32 toInt64 toInt128 toInt256 toUInt8 toUInt16 toUInt32 toUInt64 toUInt128
    toUInt256 toFloat32 toFloat64 toDecimal32 toDecimal64 toDecimal128 toString toFixedString toBool
    toDate toDate32 toDateTime toDateTime64 toUUID toIPv4 toIPv6 toLowCardinality toInt8OrZero
    toInt16OrZero toInt32OrZero toInt64OrZero toUInt8OrZero toUInt16OrZero toUInt32OrZero toUInt64OrZero
    toFloat32OrZero toFloat64OrZero toDateOrZero toDateTimeOrZero toInt8OrNull toInt16OrNull toInt32OrNull
    toInt64OrNull toUInt8OrNull toUInt16OrNull toUInt32OrNull toUInt64OrNull toFloat32OrNull
    toFloat64OrNull toDateOrNull toDateTimeOrNull toDateTime64OrNull toUUIDOrNull accurateCast
    accurateCastOrNull parseDateTime parseDateTimeOrNull parseDateTimeBestEffort
    parseDateTimeBestEffortOrNull parseDateTimeBestEffortOrZero parseDateTime64BestEffort
    parseDateTime64BestEffortOrNull

    now now64 today yesterday makeDate makeDateTime makeDateTime64 toYear toQuarter toMonth toDayOfYear
    toDayOfMonth toDayOfWeek toHour toMinute toSecond toMillisecond toUnixTimestamp toUnixTimestamp64Milli
    toUnixTimestamp64Micro toUnixTimestamp64Nano fromUnixTimestamp fromUnixTimestamp64Milli
    fromUnixTimestamp64Micro fromUnixTimestamp64Nano toStartOfYear toStartOfISOYear toStartOfQuarter
    toStartOfMonth toStartOfWeek toStartOfDay toStartOfHour toStartOfMinute toStartOfSecond
    toStartOfFiveMinutes toStartOfTenMinutes toStartOfFifteenMinutes toStartOfInterval toLastDayOfMonth
    toLastDayOfWeek toMonday toISOYear toISOWeek toWeek toYearWeek toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss
    toTime toTimezone toTimeZone timezoneOf timeZoneOf timezoneOffset timeZoneOffset toRelativeYearNum
    toRelativeMonthNum toRelativeWeekNum toRelativeDayNum toRelativeHourNum toRelativeMinuteNum
    toRelativeSecondNum date_trunc dateTrunc dateDiff date_diff age addYears addQuarters addMonths
    addWeeks addDays addHours addMinutes addSeconds addMilliseconds subtractYears subtractQuarters
    subtractMonths subtractWeeks subtractDays subtractHours subtractMinutes subtractSeconds
    subtractMilliseconds formatDateTime dateName monthName timeSlot timeSlots toIntervalSecond
    toIntervalMinute toIntervalHour toIntervalDay toIntervalWeek toIntervalMonth toIntervalQuarter
    toIntervalYear

    length empty notEmpty lengthUTF8 lower upper lowerUTF8 upperUTF8 reverse reverseUTF8 concat
    concatWithSeparator substring substr mid substringUTF8 substringIndex left right leftUTF8 rightUTF8
    leftPad rightPad lpad rpad repeat space trim trimLeft trimRight trimBoth ltrim rtrim startsWith
    endsWith startsWithUTF8 endsWithUTF8 position positionUTF8 locate
    countSubstrings hasToken hasSubsequence match extract extractGroups
    regexpExtract replace replaceAll replaceOne translate splitByChar
    splitByString splitByWhitespace alphaTokens arrayStringConcat format ascii initcap
    isValidUTF8 toValidUTF8 formatReadableSize formatReadableQuantity
    formatReadableTimeDelta formatReadableDecimalSize base64Encode base64Decode tryBase64Decode hex unhex
    bin unbin ngrams tokens soundex ngramDistance

    array arrayJoin arrayConcat arrayElement arrayElementOrNull arrayMap arrayFilter
    arrayExists arrayAll arrayCount arraySum arrayAvg arrayMin arrayMax
    arrayProduct arrayFirst arrayFirstIndex arrayFirstOrNull arrayLast arrayLastIndex arrayLastOrNull
    arrayFold arrayFill arrayReverseFill arraySplit arrayReverseSplit arrayCumSum arrayCumSumNonNegative
    arrayDifference arraySort arrayReverseSort arrayPartialSort arrayReverse arrayDistinct arrayUniq
    arrayCompact arraySlice arrayResize arrayPushBack arrayPushFront arrayPopBack arrayPopFront
    arrayEnumerate arrayEnumerateUniq arrayEnumerateDense arrayZip arrayFlatten arrayIntersect
    arrayShiftLeft arrayShiftRight arrayRotateLeft arrayRotateRight arrayWithConstant arrayAUC
    arrayDotProduct arrayJaccardIndex range emptyArrayToSingle emptyArrayString emptyArrayUInt64

    tuple tupleElement tupleConcat tuplePlus tupleMinus tupleMultiply tupleDivide dotProduct L1Norm L2Norm
    L1Distance L2Distance cosineDistance map mapFromArrays mapKeys mapValues mapContains mapContainsKey
    mapAdd mapSubtract mapFilter mapApply mapSort mapUpdate

    JSONHas JSONLength JSONType JSONExtract JSONExtractInt JSONExtractUInt JSONExtractFloat
    JSONExtractBool JSONExtractString JSONExtractRaw JSONExtractArrayRaw JSONExtractKeys
    JSONExtractKeysAndValuesRaw simpleJSONHas simpleJSONExtractInt simpleJSONExtractUInt
    simpleJSONExtractFloat simpleJSONExtractBool simpleJSONExtractString simpleJSONExtractRaw toJSONString
    isValidJSON

    cityHash64 sipHash64 sipHash128 xxHash32 xxHash64 murmurHash2_32 murmurHash2_64 murmurHash3_32
    murmurHash3_64 murmurHash3_128 farmHash64 halfMD5 intHash32 intHash64 CRC32 MD5 SHA1 SHA224 SHA256
    SHA512

    protocol domain domainWithoutWWW topLevelDomain port path pathFull queryString fragment cutQueryString
    cutFragment extractURLParameter extractURLParameters decodeURLComponent encodeURLComponent
    generateUUIDv4 generateUUIDv7 UUIDStringToNum UUIDNumToString rand rand64 randCanonical randUniform
    randNormal
"""

AGGREGATES: Final = tuple(_AGGREGATES.split())
WINDOW: Final = tuple(_WINDOW.split())
SCALARS: Final = (*WINDOW, *_SCALARS.split())
TABLE_FUNCTIONS: Final = ("numbers", "values")
#: Functions with the name of a type in an argument: it must be written out, so that it can be judged.
TYPED: Final = ("accuratecast", "accuratecastornull", "jsonextract")

_ALLOWED: Final = {name.lower() for name in (*AGGREGATES, *SCALARS)}
_ENDS: Final = sorted({end.lower() for end in _COMBINATORS.split()}, key=len, reverse=True)
_BASES: Final = {name.lower() for name in AGGREGATES}


def is_allowed(name: str) -> bool:
    """Whether SQL of clients may call this function; aggregates may have up to three combinators."""
    name = name.lower()
    return name in _ALLOWED or _is_combined(name, 3)


def takes_function(name: str) -> bool:
    """Whether an argument may be a function; so many of these may that their names decide."""
    name = name.lower()
    return name.startswith(("array", "map")) and name not in ("array", "arrayjoin", "map")


def _is_combined(name: str, left: int) -> bool:
    if name in _BASES:
        return True
    return left > 0 and any(
        name.endswith(end) and _is_combined(name.removesuffix(end), left - 1) for end in _ENDS
    )
