/*
 * game.c - a game with a loop of its own, 60 frames a second, whose rules are
 * a component in Lua.
 *
 *     game FRAMES
 */
#include <ahost.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES_PER_SECOND = 60 };

/* ---- what the game shows to Lua ----------------------------------------- */

struct player {
    double x, y;
};

/* player:move(dx, dy) */
static int move(ahost_invocation *call, void *pointer) {
    struct player *player = pointer;
    const ahost_value *dx = ahost_argument(call, 1, AHOST_NUMBER);
    const ahost_value *dy = ahost_argument(call, 2, AHOST_NUMBER);
    if (dx == NULL || dy == NULL)
        return AHOST_MISUSE;
    player->x += ahost_value_number(dx, 0);
    player->y += ahost_value_number(dy, 0);
    return AHOST_OK;
}

/* player:position() -> x, y */
static int position(ahost_invocation *call, void *pointer) {
    const struct player *player = pointer;
    ahost_return(call, ahost_make_number(player->x));
    return ahost_return(call, ahost_make_number(player->y));
}

static const ahost_method player_methods[] = {
    {"move", move}, {"position", position}, {NULL, NULL}};

static const ahost_type player_type = {sizeof(ahost_type), "game.player",
                                       player_methods, NULL};

/* ---- the loop ----------------------------------------------------------- */

/* Tells Lua that a frame begins: bus:subscribe("game.frame", ...). */
static void publish_frame(ahost *host, double seconds) {
    ahost_value *list = ahost_make_list();
    ahost_list_add(list, ahost_make_number(seconds));
    ahost_bus_publish(host, "game.frame", list);
    ahost_value_free(list);
}

static void draw(const struct player *player, long frame) {
    if (frame % 30 == 0)
        printf("frame %ld: the player is at %.0f, %.0f\n", frame, player->x,
               player->y);
    fflush(stdout);
}

static void wait_for(struct timespec *next) {
    next->tv_nsec += 1000000000 / FRAMES_PER_SECOND;
    if (next->tv_nsec >= 1000000000) {
        next->tv_sec++;
        next->tv_nsec -= 1000000000;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

/* Hears what has come of a reload: {ok=, components={[path]={ok=, err=}}}. */
static void on_reloaded(ahost *host, void *data, int code,
                        const ahost_value *report) {
    const ahost_value *components = ahost_map_get(report, "components");
    const ahost_value *one = NULL;
    (void)host;
    (void)data;
    if (code != AHOST_OK)
        printf("not reloaded: %s\n", ahost_value_string(report, NULL));
    for (size_t i = 0; ahost_map_entry(components, i, &one) != NULL; i++)
        if (ahost_value_boolean(ahost_map_get(one, "ok"), 0))
            printf("the rules are new\n");
        else
            printf("the rules stay as they are: %s\n",
                   ahost_value_string(ahost_map_get(one, "err"), NULL));
}

/* Plays until the frames are over or the host has ended by itself. */
static void play(ahost *host, const struct player *player, long frames) {
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long frame = 1; frame <= frames && ahost_step(host, 0) == 1; frame++) {
        publish_frame(host, 1.0 / FRAMES_PER_SECOND);
        draw(player, frame);
        if (frame % FRAMES_PER_SECOND == 0)
            ahost_reload(host, NULL, on_reloaded, NULL);
        wait_for(&next);
    }
}

/* ---- the program -------------------------------------------------------- */

static void print_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s: %s\n", record->logger, record->text);
}

static int load(ahost *host, struct player *player) {
    static const char *const files[] = {"game.yaml", NULL};
    int err = ahost_publish(host, "game.player", player, &player_type);
    return err != AHOST_OK ? err : ahost_load_config(host, files, NULL);
}

int main(int argc, char **argv) {
    ahost_options options = {.size = sizeof(options), .log = print_record};
    struct player player = {0, 0};
    ahost *host;
    int status = 1;
    if (ahost_open(&host, &options) != AHOST_OK)
        return 1;
    if (load(host, &player) == AHOST_OK) {
        play(host, &player, argc > 1 ? strtol(argv[1], NULL, 10) : 600);
        ahost_stop(host);
        status = ahost_run(host);
    } else {
        fprintf(stderr, "%s\n", ahost_errmsg(host));
    }
    ahost_close(host);
    return status;
}
