<?php
/*
 * How a script of the installer answers: one line of JSON behind a marker that only this run knows. It goes straight
 * to stdout, past buffers and whatever else the host's PHP does to output.
 */

function sitecrew_say(array $answer)
{
    $line = $GLOBALS['sitecrew']['marker'] . json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE);
    file_put_contents('php://stdout', "\n$line\n");
}
